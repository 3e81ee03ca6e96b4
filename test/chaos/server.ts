// One server of a run: `server.ts <engine> <url> <port>`. Prints its events as lines of JSON, and
// exits when its standard input closes.

import Fastify from 'fastify'
import { canRotate } from '../../src/domain/rotation.js'
import { tokenAuth } from '../../src/index.js'
import type { AuthUser, TokenAuthListeners, TokenStore } from '../../src/index.js'
import { PASSWORD_HASH, SECRET } from '../helpers/app.js'
import { ACCESS_LIFETIME, GRACE, POLL_INTERVAL, STORE_TIMEOUT } from './settings.js'
import type { Mutant } from './settings.js'
import { openStore } from './stores.js'
import type { EngineName } from './stores.js'

const [engine, url, port] = process.argv.slice(2) as [EngineName, string, string]

const printEvent = (event: string) => (facts: object): void => {
  console.log(JSON.stringify({ event, ...facts }))
}

const on: TokenAuthListeners = {
  refresh: event => {
    if (event.rotated) {
      printEvent('rotated')(event)
    }
  },
  replay: printEvent('replay'),
  recovery: printEvent('recovery'),
  reuse: ({ presented, rotated, ...event }) => {
    printEvent('reuse')({ ...event, presented: presented.generation, rotated: rotated.generation })
  },
  sweep: printEvent('sweep'),
  'suspicious-replay': ({ presented, rotated, ...event }) => {
    printEvent('suspicious-replay')({
      ...event,
      presented: presented.generation,
      rotated: rotated.generation
    })
  },
  'store-rolled-back': printEvent('store-rolled-back'),
  'session-missing': printEvent('session-missing'),
  'clock-skew': printEvent('clock-skew')
}

const mutants: Record<Mutant, (store: TokenStore) => Partial<TokenStore>> = {
  'check-then-write': store => ({
    async rotate (attempt) {
      const { realm, sessionId } = attempt
      const session = await store.find(realm, sessionId)

      if (session === null || !canRotate(session, attempt)) {
        return { swapped: false, session }
      }

      const { generation } = await store.find(realm, sessionId) ?? session
      const { session: written } = await store.rotate({
        ...attempt,
        from: generation,
        to: generation + 1,
        graceBefore: Number.MAX_SAFE_INTEGER
      })
      return { swapped: true, session: written }
    }
  }),
  'forgets-revocations': store => ({
    revocations: async (after, limit) => ({ ...await store.revocations(after, limit), entries: [] })
  })
}

const { store } = await openStore(engine, url)
const mutant = process.env.CHAOS_MUTANT as Mutant | undefined
const overrides: Partial<TokenStore> = mutant === undefined ? {} : mutants[mutant](store)
const createUser = (name: string): AuthUser => ({
  id: name,
  username: name,
  passwordHash: PASSWORD_HASH
})

const app = Fastify({ logger: { level: 'error', stream: process.stderr } })
await app.register(tokenAuth, {
  secret: SECRET,
  store: new Proxy(store, {
    get: (target, verb) => {
      const override = overrides[verb as keyof TokenStore]
      return override ?? (Reflect.get(target, verb) as (...args: unknown[]) => unknown).bind(target)
    }
  }),
  users: { findByLogin: createUser, findById: createUser },
  accessToken: { lifetime: ACCESS_LIFETIME },
  refreshToken: { grace: `${GRACE}ms` },
  storeTimeout: `${STORE_TIMEOUT}ms`,
  revocations: { pollInterval: `${POLL_INTERVAL}ms` },
  sweep: { interval: '1s' },
  on
})
app.get('/protected', { onRequest: app.authenticate }, request => request.auth)
await app.listen({ host: '127.0.0.1', port: Number(port) })
printEvent('listening')({})

process.stdin.resume().on('end', () => {
  void app.close().finally(() => process.exit())
})
