/**
 * Process with the plugin and its defaults, many accounts, and routes that compete with logins.
 *
 * @module
 */

import { readFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { hash, verify } from '@node-rs/argon2'
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import { tokenAuth } from 'fastify-token-auth'
import { MemoryStore } from 'fastify-token-auth/memory'
import { defaultConcurrency, HashQueue, requestForApp } from '../../../dist/login/hash-queue.js'
import { secret } from '../../../examples/shared/secret.js'
import { handleCalls } from '../processes.js'
import { BASELINE_PATH, DATA_TO_DIGEST, FILE_TO_READ } from './shared.js'
import type { Account, LoginServer } from './shared.js'

const ACCOUNTS = 128

let app: FastifyInstance | undefined

handleCalls({
  async start ({ hasHashLimit }: { hasHashLimit: boolean }): Promise<LoginServer> {
    if (!hasHashLimit) {
      // No option removes the limit on concurrent hashes. This shows what the limit prevents.
      HashQueue.prototype.run = work => work()
    }

    app = Fastify()
    const usersByName = new Map<string, { id: string, username: string, passwordHash: string }>()
    const usersById = new Map<string, { id: string, username: string, passwordHash: string }>()
    await app.register(tokenAuth, {
      secret,
      store: new MemoryStore(),
      users: {
        findByLogin: login => usersByName.get(login) ?? null,
        findById: id => usersById.get(id) ?? null
      }
    })

    const createAccounts = async (
      prefix: string,
      hashPassword: (password: string) => Promise<string>
    ): Promise<Account[]> => {
      const accounts: Account[] = []

      for (let number = 0; number < ACCOUNTS; number++) {
        const username = `${prefix}-${number}`
        const password = `correct horse ${number}`
        const user = {
          id: `u-${username}`,
          username,
          passwordHash: await hashPassword(password)
        }
        usersByName.set(username, user)
        usersById.set(user.id, user)
        accounts.push({ username, password, hash: user.passwordHash })
      }

      return accounts
    }

    const accounts = await createAccounts('user', app.tokenAuth.hashPassword)
    const cheapAccounts = await createAccounts(
      'cheap',
      password => hash(password, { memoryCost: 8, timeCost: 1, parallelism: 1 })
    )

    const baselineQueue = new HashQueue({ places: defaultConcurrency() })
    app.post<{ Body: { username: string, password: string } }>(
      BASELINE_PATH,
      async ({ body: { username, password } }) => {
        const user = usersByName.get(username)
        const isCorrect = user !== undefined &&
          await baselineQueue.run(() => verify(user.passwordHash, password), requestForApp())

        if (!isCorrect) {
          throw new Error('Baseline rejected a correct password')
        }

        return { access_token: 'none', user: { id: user.id, username } }
      }
    )
    app.get('/protected', { onRequest: [app.authenticate] }, async request => ({
      userId: request.auth?.userId
    }))
    app.get(
      '/file',
      async (_request, reply) => reply.type('text/plain').send(await readFile(FILE_TO_READ))
    )
    app.get(
      '/digest',
      async () => Buffer.from(await crypto.subtle.digest('SHA-256', DATA_TO_DIGEST)).toString('hex')
    )

    await app.listen({ host: '127.0.0.1', port: 0 })
    return { port: (app.server.address() as AddressInfo).port, accounts, cheapAccounts }
  },
  async readHashLoad () {
    return (await app?.tokenAuth.health())?.hashes
  }
})
