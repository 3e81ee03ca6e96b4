// The server of the benchmark of logins: the defaults of the package, many accounts, and routes that feel a storm of logins.
//
// `--no-limit` takes away the limit on hashing at once. There is no option that does, and should be none: what it does to
// the other routes is what is measured here.

import { readFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { hash, verify } from '@node-rs/argon2'
import Fastify from 'fastify'
import { tokenAuth } from 'fastify-token-auth'
import { MemoryStore } from 'fastify-token-auth/memory'
import { defaultConcurrency, HashQueue } from '../../dist/login/hash-queue.js'
import { secret } from '../../examples/shared/trial.js'
import { barePath, digested, fileRead } from './logins-routes.js'
import type { Account, ServerReady } from './logins-routes.js'
import { serve } from './logins-process.js'

const ACCOUNTS = 128

if (process.argv.includes('--no-limit')) {
  HashQueue.prototype.run = work => work()
}

const app = Fastify()
const byName = new Map<string, { id: string, username: string, passwordHash: string }>()
const byId = new Map<string, { id: string, username: string, passwordHash: string }>()
await app.register(tokenAuth, {
  secret,
  store: new MemoryStore(),
  users: {
    findByLogin: login => byName.get(login) ?? null,
    findById: id => byId.get(id) ?? null
  }
})

async function addAccounts (
  kind: string,
  count: number,
  hash: (password: string) => Promise<string>
): Promise<Account[]> {
  const accounts: Account[] = []

  for (let number = 0; number < count; number++) {
    const [username, password] = [`${kind}-${number}`, `correct horse ${number}`]
    const user = { id: `u-${username}`, username, passwordHash: await hash(password) }
    byName.set(username, user)
    byId.set(user.id, user)
    accounts.push({ username, password, hash: user.passwordHash })
  }

  return accounts
}

const accounts = await addAccounts('user', ACCOUNTS, app.tokenAuth.hashPassword)
const cheap = await addAccounts(
  'cheap',
  ACCOUNTS,
  password => hash(password, { memoryCost: 8, timeCost: 1, parallelism: 1 })
)

const bareQueue = new HashQueue(defaultConcurrency())
app.post<{ Body: { username: string, password: string } }>(
  barePath,
  async ({ body: { username, password } }) => {
    const user = byName.get(username)

    if (user === undefined || !await bareQueue.run(() => verify(user.passwordHash, password))) {
      throw new Error('A right password was wrong')
    }

    return { access_token: 'none', user: { id: user.id, username } }
  }
)
app.get(
  '/protected',
  { onRequest: app.authenticate },
  async request => ({ hello: request.auth?.userId })
)
app.get('/file', async (_request, reply) => reply.type('text/plain').send(await readFile(fileRead)))
app.get(
  '/digest',
  async () => Buffer.from(await crypto.subtle.digest('SHA-256', digested)).toString('hex')
)

await app.listen({ host: '127.0.0.1', port: 0 })
const { port } = app.server.address() as AddressInfo
serve({ port, accounts, cheap } satisfies ServerReady, () => app.tokenAuth.hashLoad())
