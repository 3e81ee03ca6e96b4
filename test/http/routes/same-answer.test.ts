// Own process: gives argon2 its full cost.

import bcrypt from '@node-rs/bcrypt'
import t from 'tap'
import { createTestApp, PASSWORD } from '../../helpers/app.js'
import type { TestUser } from '../../helpers/app.js'
import { useFullCost } from '../../helpers/cheap-argon2.js'

useFullCost()

const BCRYPT = bcrypt.hashSync('another', 4)

const log: string[] = []
const people: TestUser[] = [
  'ann',
  'disabled',
  'passwordless',
  'unset',
  'empty',
  'word',
  'bcrypt',
  'argon2i',
  'cut',
  'expensive'
].map(username => ({ id: `u-${username}`, username }))
const { app, users, events, post } = await createTestApp({
  users: people,
  fastify: {
    logger: {
      level: 'trace',
      stream: {
        write (line: string) {
          log.push(line)
        }
      }
    }
  }
})
t.teardown(() => app.close())

// A hash with the default cost, because this file compares the work.
const HASH = await app.tokenAuth.hashPassword(PASSWORD)

const malformed: Record<string, string> = {
  empty: '',
  word: 'garbage',
  bcrypt: BCRYPT,
  argon2i: HASH.replace('argon2id', 'argon2i'),
  cut: HASH.slice(0, -2),
  expensive: HASH.replace('m=19456', 'm=999999')
}

for (const user of users.values()) {
  const { username } = user as { username: string }

  if (username === 'passwordless') {
    user.passwordHash = null
  } else if (username !== 'unset') {
    user.passwordHash = malformed[username] ?? HASH
  }

  if (username === 'disabled') {
    user.disabled = true
  }
}

interface Attempt {
  readonly username: string
  readonly password: string
  readonly reason: string
}

const attempts: Record<string, Attempt> = {
  'a wrong password': { username: 'ann', password: 'wrong', reason: 'wrong-password' },
  'an unknown user': { username: 'nobody', password: PASSWORD, reason: 'unknown-user' },
  'a disabled user with the right password': {
    username: 'disabled',
    password: PASSWORD,
    reason: 'disabled'
  },
  'a disabled user with a wrong one': {
    username: 'disabled',
    password: 'wrong',
    reason: 'disabled'
  },
  'a user whose password is null': {
    username: 'passwordless',
    password: PASSWORD,
    reason: 'no-password'
  },
  'a user who has no such field': { username: 'unset', password: PASSWORD, reason: 'no-password' },
  'an empty hash': { username: 'empty', password: PASSWORD, reason: 'malformed-hash' },
  'a word in place of a hash': { username: 'word', password: 'garbage', reason: 'malformed-hash' },
  'a bcrypt hash': { username: 'bcrypt', password: PASSWORD, reason: 'wrong-password' },
  'an argon2i hash': { username: 'argon2i', password: PASSWORD, reason: 'malformed-hash' },
  'a hash that was cut': { username: 'cut', password: PASSWORD, reason: 'malformed-hash' },
  'a hash that is too expensive': {
    username: 'expensive',
    password: PASSWORD,
    reason: 'malformed-hash'
  }
}

async function attempt (
  { username, password }: Attempt
): Promise<{ status: number, headers: object, body: string }> {
  const { statusCode: status, headers, body } = await post('/auth/login', { username, password })
  const { date, ...rest } = headers
  return { status, headers: rest, body }
}

function errorsLogged (): Array<Record<string, unknown>> {
  return log.map(line => JSON.parse(line) as Record<string, unknown>).filter(({ level }) =>
    level as number >= 50
  )
}

t.test('the correct password of an enabled user logs in', async t => {
  t.equal((await post('/auth/login', { username: 'ann', password: PASSWORD })).statusCode, 200)
})

t.test('every rejected login has the same status, headers and body', async t => {
  const expected = await attempt(attempts['a wrong password'] as Attempt)
  t.equal(expected.status, 401)
  t.strictSame(JSON.parse(expected.body), {
    statusCode: 401,
    code: 'AUTH_CREDENTIALS_REJECTED',
    error: 'Unauthorized',
    message: 'User name or password is incorrect'
  })
  t.match(expected.headers, {
    'www-authenticate': 'Bearer realm="auth"',
    'content-length': /^\d+$/,
    'cache-control': 'no-store'
  })

  for (const [name, one] of Object.entries(attempts)) {
    t.strictSame(await attempt(one), expected, name)
  }
})

// SQLite and MySQL have no booleans, so an unconverted record contains 1.
t.test('a user with disabled: 1 is disabled', async t => {
  const user = users.get('u-disabled') as { disabled: unknown }
  t.teardown(() => {
    user.disabled = true
  })
  user.disabled = 1
  t.equal((await post('/auth/login', { username: 'disabled', password: PASSWORD })).statusCode, 401)
})

t.test('the event login-rejected has the reason', async t => {
  for (const [name, one] of Object.entries(attempts)) {
    events.length = 0
    await attempt(one)
    const userId = one.username === 'nobody' ? null : `u-${one.username}`
    t.match(events, [{ name: 'login-rejected', reason: one.reason, userId }], name)
    t.equal(events.length, 1, name)
  }
})

t.test('a malformed hash is logged with the user id and without the hash', async t => {
  const msg = 'stored password hash is neither argon2id nor bcrypt, or too expensive to verify'

  for (const [name, one] of Object.entries(attempts)) {
    log.length = 0
    await attempt(one)

    if (one.reason === 'malformed-hash') {
      t.match(errorsLogged(), [{ level: 50, userId: `u-${one.username}`, msg }], name)
    }

    t.equal(errorsLogged().length, one.reason === 'malformed-hash' ? 1 : 0, name)
    const secrets = [
      ...Object.values(malformed).filter(hash => hash !== ''),
      HASH,
      PASSWORD,
      'nobody'
    ]
    t.strictSame(secrets.filter(secret => log.join('').includes(secret)), [], name)
  }
})

// Verifying a hash takes about 14 ms of one core, skipping it 0.3 ms. Each round measures every
// kind, so that other load affects all alike.
t.test('every rejected login takes as long as one with an incorrect password', async t => {
  const times = new Map(Object.keys(attempts).map(name => [name, [] as number[]]))

  for (let round = 0; round < 11; round++) {
    for (const [name, one] of Object.entries(attempts)) {
      const before = performance.now()
      await attempt(one)
      times.get(name)?.push(performance.now() - before)
    }
  }

  const median = (name: string): number =>
    (times.get(name) ?? []).sort((a, b) => a - b)[5] as number
  const real = median('a wrong password')
  t.ok(real > 5, `a real check takes ${real.toFixed(1)} ms`)

  for (const name of times.keys()) {
    const ratio = median(name) / real
    t.ok(ratio > 0.5 && ratio < 2, `${name}: ${ratio.toFixed(2)} times as long`)
  }
})
