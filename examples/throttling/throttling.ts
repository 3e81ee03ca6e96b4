// Plays attacks on passwords over HTTP, and prints the responses:
// npx tsx examples/throttling/throttling.ts

import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import { tokenAuth } from 'fastify-token-auth'
import { SqliteAttempts, SqliteStore } from 'fastify-token-auth/sqlite'
import Database from 'libsql'
import { secret } from '../shared/secret.js'

const PASSWORD = 'correct horse'
const HOUR = 3600
const OFFICE = '192.0.2.1'
const HOME = '203.0.113.5'
const ATTACKER = '198.51.100.7'

let now = Date.UTC(2026, 0, 1)
const db = new Database(':memory:')
const store = new SqliteStore(db)
await store.migrate()

const ann = { id: '1', username: 'ann', email: 'ann@example.org', passwordHash: '' }
const bob = { ...ann, id: '2', username: 'bob', email: 'bob@example.org' }
const users = [ann, bob]
let event = ''

interface Instance {
  readonly app: FastifyInstance
  readonly url: string
}

/** Starts an instance. Without `attempts`, it counts on its own. */
async function startInstance (
  attempts?: SqliteAttempts,
  trustProxy: string | false = '127.0.0.1'
): Promise<Instance> {
  const app = Fastify({ trustProxy })
  await app.register(tokenAuth, {
    secret,
    store,
    users: {
      findByLogin: login => users.find(user => [user.username, user.email].includes(login)),
      findById: id => users.find(user => user.id === id)
    },
    throttle: attempts === undefined ? {} : { attempts },
    clock: () => now,
    on: {
      'login-throttled' ({ limit }) {
        event = `login-throttled (${limit})`
      }
    }
  })
  return { app, url: await app.listen({ host: '127.0.0.1', port: 0 }) }
}

interface Login {
  readonly instance?: Instance | undefined
  readonly username: string
  readonly password?: string
  /** Address of the client, which the proxy in front of the instance sends. */
  readonly from: string
  readonly deviceToken?: string
}

function wait (seconds: number): void {
  now += seconds * 1000
}

async function login (
  { instance = first, username, password = 'a guess', from, deviceToken = '' }: Login
): Promise<{ readonly result: string, readonly deviceToken: string }> {
  event = ''
  const response = await fetch(`${instance.url}/auth/login`, {
    method: 'POST',
    headers: { 'x-forwarded-for': from },
    body: new URLSearchParams({ username, password, device_token: deviceToken })
  })
  const body = await response.json() as { device_token?: string }
  const retryAfter = response.headers.get('retry-after')

  return {
    result: `${response.status}${retryAfter === null ? '' : `, Retry-After: ${retryAfter}`}`,
    deviceToken: body.device_token ?? ''
  }
}

function print (what: string, result: string): void {
  console.log(`${what.padEnd(50)}${result.padEnd(25)}${event}`.trimEnd())
}

/** Prints the response of a login. */
async function show (what: string, attempt: Login): Promise<string> {
  const { result, deviceToken } = await login(attempt)
  print(what, result)
  return deviceToken
}

/** Sends several guesses, and prints how often each response came. */
async function guess (
  what: string,
  times: number,
  getAttempt: (index: number) => Login,
  pause = 0
): Promise<void> {
  const counts = new Map<string, number>()
  event = ''

  for (let i = 0; i < times; i++) {
    const { result } = await login(getAttempt(i))
    const status = result.split(',')[0] ?? ''
    counts.set(status, (counts.get(status) ?? 0) + 1)
    wait(pause)
  }

  const results = [...counts].map(([status, count]) => `${count} x ${status}`).join(', ')
  print(what, results)
}

const first = await startInstance()
const passwordHash = await first.app.tokenAuth.hashPassword(PASSWORD)

for (const user of users) {
  user.passwordHash = passwordHash
}

console.log('An account')
const deviceToken = await show('ann logs in', { username: 'ann', password: PASSWORD, from: HOME })
await guess('10 guesses', 10, () => ({ username: 'ann', from: ATTACKER }))
await show('the next guess', { username: 'ann', from: ATTACKER })
await show('the same with another spelling', { username: ' ANN', from: ATTACKER })
await show('the same with her e-mail address', { username: 'ann@example.org', from: ATTACKER })
await show('her password, from an unknown device', {
  username: 'ann',
  password: PASSWORD,
  from: OFFICE
})
await show('her password, from her known device', {
  username: 'ann',
  password: PASSWORD,
  from: HOME,
  deviceToken
})
wait(1)
await show('a second later: her password, the unknown device', {
  username: 'ann',
  password: PASSWORD,
  from: OFFICE
})

console.log('\nA patient attacker')
await guess(
  'a guess every hour, for 100 hours',
  100,
  () => ({ username: 'ann', from: ATTACKER }),
  HOUR
)
await show('the next guess', { username: 'ann', from: ATTACKER })
await first.app.tokenAuth.passwordChanged('1')
await show('after passwordChanged: her password', {
  username: 'ann',
  password: PASSWORD,
  from: OFFICE
})

console.log('\nAn address')
wait(24 * HOUR)
await guess('100 guesses for 100 names', 100, i => ({ username: `user${i}`, from: ATTACKER }))
await show('the right password of bob, from this address', {
  username: 'bob',
  password: PASSWORD,
  from: ATTACKER
})
await show('the same from another address', { username: 'bob', password: PASSWORD, from: OFFICE })
wait(15 * 60)
await show('15 minutes later', { username: 'bob', password: PASSWORD, from: ATTACKER })

const behindProxy = await startInstance(undefined, false)
await guess('100 guesses, without trustProxy', 100, i => ({
  instance: behindProxy,
  username: `user${i}`,
  from: ATTACKER
}))
await show('the right password of bob, without trustProxy', {
  instance: behindProxy,
  username: 'bob',
  password: PASSWORD,
  from: HOME
})

console.log('\nTwo instances')
const alone = [first, await startInstance()]
const attempts = new SqliteAttempts(db)
const shared = [await startInstance(attempts), await startInstance(attempts)]

await guess('30 guesses, each instance counts on its own', 30, i => ({
  instance: alone[i % 2],
  username: 'bob',
  from: HOME
}))
await guess('30 guesses, the instances share a store', 30, i => ({
  instance: shared[i % 2],
  username: 'bob',
  from: HOME
}))

await Promise.all([...alone, ...shared, behindProxy].map(({ app }) => app.close()))
db.close()
