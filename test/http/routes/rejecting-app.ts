import bcrypt from '@node-rs/bcrypt'
import type { Test } from 'tap'
import { createTestApp, PASSWORD } from '../../helpers/app.js'
import type { TestApp, TestUser } from '../../helpers/app.js'

/** A login that is rejected, and the reason in its event. */
export interface Attempt {
  readonly username: string
  readonly password: string
  readonly reason: string
}

/** A rejected login of each kind. */
export const attempts: Record<string, Attempt> = {
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

/** App that rejects logins. */
export interface RejectingApp extends TestApp {
  /** Lines that the app has logged. */
  readonly log: string[]
  /** Stored hashes that must not be logged. */
  readonly hashes: readonly string[]
  attempt(attempt: Attempt): Promise<{ status: number, headers: object, body: string }>
}

/** Creates an app with one user for each kind of rejected login. */
export async function createRejectingApp (t: Test): Promise<RejectingApp> {
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
  const testApp = await createTestApp({
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
  const { app, users, post } = testApp
  t.teardown(() => app.close())

  const HASH = await app.tokenAuth.hashPassword(PASSWORD)

  const malformed: Record<string, string> = {
    empty: '',
    word: 'garbage',
    bcrypt: bcrypt.hashSync('another', 4),
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

  async function attempt (
    { username, password }: Attempt
  ): Promise<{ status: number, headers: object, body: string }> {
    const { statusCode: status, headers, body } = await post('/auth/login', { username, password })
    const { date, ...rest } = headers
    return { status, headers: rest, body }
  }

  return {
    ...testApp,
    log,
    hashes: [...Object.values(malformed).filter(hash => hash !== ''), HASH],
    attempt
  }
}
