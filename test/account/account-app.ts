import { EventEmitter, once } from 'node:events'
import type { LightMyRequestResponse } from 'fastify'
import type { Test } from 'tap'
import { accountFlows } from '../../src/account/index.js'
import type { AccountOptions } from '../../src/account/index.js'
import { createTestApp, PASSWORD_HASH } from '../helpers/app.js'
import type { TestApp, TestAppOptions, TestUser } from '../helpers/app.js'

export const EMAIL = 'ann@example.org'
export const NEW_PASSWORD = 'another horse and battery'

export interface AccountUser extends TestUser {
  /** Address that the user has proved to own. */
  verified?: string
}

/** One call of a callback that sends a message. */
export interface Mail {
  readonly kind: string
  readonly to: unknown
  readonly token: string
  readonly code: string
  readonly expiresAt: number
}

export interface AccountApp extends Omit<TestApp, 'users'> {
  readonly users: Map<string, AccountUser>
  /** Messages in the order in which they were sent. */
  readonly mails: Mail[]
  /** Calls of the callbacks that change a user. */
  readonly writes: string[]
  /** Sends a request, and returns the message that it causes. */
  request(path: string, body?: object, headers?: Record<string, string>): Promise<Mail>
  /** Waits until all messages of earlier requests were sent. */
  settle(): Promise<void>
}

export interface AccountAppOptions extends TestAppOptions {
  readonly flows?: Partial<AccountOptions>
}

/** Creates an app whose users have addresses, with all routes of `accountFlows`. */
export async function createAccountApp (
  t: Test,
  { flows = {}, options = {}, ...rest }: AccountAppOptions = {}
): Promise<AccountApp> {
  const mails: Mail[] = []
  const writes: string[] = []
  const post = new EventEmitter()

  const send = (kind: string) => (message: object) => {
    const { user, token, code, expiresAt } = message as Mail & { readonly user: AccountUser }
    mails.push({ kind, to: user.email, token, code, expiresAt })
    post.emit('mail', mails.at(-1))
  }

  // The callbacks below close over the users of the app that is created here.
  const holder: { users: Map<string, AccountUser> } = { users: new Map() }
  const world = await createTestApp({
    users: ['ann', 'bob', 'cyd'].map(name => ({
      id: `u-${name}`,
      username: name,
      email: `${name}@example.org`,
      passwordHash: PASSWORD_HASH
    })),
    ...rest,
    options: { revocations: false, ...options },
    async after (app) {
      await app.register(accountFlows, {
        users: {
          findByEmail: email => [...holder.users.values()].find(user => user.email === email),
          markEmailVerified (id, email) {
            writes.push(`verified ${id}`)
            const user = holder.users.get(id)

            if (user?.email === email) {
              user.verified = email
            }
          },
          savePasswordHash (id, hash, replaced) {
            const user = holder.users.get(id) as AccountUser

            if (user.passwordHash !== replaced) {
              return false
            }

            writes.push(`password ${id}`)
            user.passwordHash = hash
            return true
          }
        },
        send: {
          verifyEmail: send('verifyEmail'),
          resetPassword: send('resetPassword'),
          signInLink: send('signInLink'),
          signInCode: send('signInCode')
        },
        ...flows
      })
      await rest.after?.(app)
    }
  })
  holder.users = world.users
  t.teardown(() => world.app.close())

  const settle = (): Promise<void> =>
    new Promise(resolve => setImmediate(() => setImmediate(resolve)))

  return {
    ...world,
    mails,
    writes,
    settle,
    async request (path, body, headers) {
      const sent = once(post, 'mail', { signal: AbortSignal.timeout(5000) })
      const response = await world.post(path, body, headers)

      if (response.statusCode !== 202) {
        sent.catch(() => {})
        throw new Error(`${path} failed: ${response.body}`)
      }

      return (await sent)[0] as Mail
    }
  }
}

export function bearer (accessToken: string): Record<string, string> {
  return { authorization: `Bearer ${accessToken}` }
}

export function readCode (response: LightMyRequestResponse): unknown {
  return [response.statusCode, response.headers['x-auth-error']]
}
