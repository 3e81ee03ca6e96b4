import { Secret, TOTP } from 'otpauth'
import type { LightMyRequestResponse } from 'fastify'
import type { Test } from 'tap'
import { accountFlows } from '../../src/account/index.js'
import type { AccountOptions, SecondFactorMethod } from '../../src/account/index.js'
import { createTestApp, PASSWORD, PASSWORD_HASH } from '../helpers/app.js'
import type { TestApp, TestAppOptions, TestUser } from '../helpers/app.js'

/** Secret of the user `ann` in base32. */
export const TOTP_SECRET = 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP'

export interface FactorUser extends TestUser {
  factors?: SecondFactorMethod[]
  totpSecret?: string | null
  recoveryHashes?: string[]
}

export interface FactorApp extends Omit<TestApp, 'users'> {
  readonly users: Map<string, FactorUser>
  readonly links: string[]
  /** Logs `ann` in by password. */
  first(more?: object, headers?: Record<string, string>): Promise<LightMyRequestResponse>
  /** Returns a ticket for `ann`. */
  ticket(): Promise<string>
  second(body: object, headers?: Record<string, string>): Promise<LightMyRequestResponse>
}

/** Returns the code of a moment. */
export function getCode (now: number, secret = TOTP_SECRET): string {
  return TOTP.generate({ secret: Secret.fromBase32(secret), timestamp: now })
}

/** Starts an app in which `ann` has a second factor and `bob` has none. */
export async function open (
  t: Test,
  options: TestAppOptions['options'] = {},
  { flows = {}, ...given }: TestAppOptions & { readonly flows?: Partial<AccountOptions> } = {}
): Promise<FactorApp> {
  const holder: { users: Map<string, FactorUser> } = { users: new Map() }
  const links: string[] = []
  const find = (id: string): FactorUser | undefined => holder.users.get(id)
  const initial: FactorUser[] = [
    {
      id: 'u-ann',
      username: 'ann',
      email: 'ann@example.org',
      passwordHash: PASSWORD_HASH,
      factors: ['totp', 'recovery'],
      totpSecret: TOTP_SECRET,
      recoveryHashes: []
    },
    { id: 'u-bob', username: 'bob', email: 'bob@example.org', passwordHash: PASSWORD_HASH }
  ]
  const world = await createTestApp({
    users: initial,
    ...given,
    options: { revocations: false, ...options },
    async after (app) {
      app.get('/pay', { onRequest: [app.authenticate, app.requireFresh('5m')] }, () => 'paid')
      await app.register(accountFlows, {
        users: {
          findByEmail: email => [...holder.users.values()].find(user => user.email === email),
          secondFactors: user => (user as FactorUser).factors ?? [],
          findTotpSecret: id => find(id)?.totpSecret,
          useRecoveryCode (id, hashes) {
            const stored = find(id)?.recoveryHashes ?? []
            const i = stored.findIndex(hash => hashes.includes(hash))
            return i >= 0 && stored.splice(i, 1).length === 1
          }
        },
        send: { signInLink: ({ token }) => links.push(token) },
        ...flows
      })
      await given.after?.(app)
    }
  })
  holder.users = world.users
  t.teardown(() => world.app.close())

  const first: FactorApp['first'] = (more = {}, headers = {}) =>
    world.post('/auth/login', { username: 'ann', password: PASSWORD, ...more }, headers)

  return {
    ...world,
    links,
    first,
    ticket: async () => (await first()).json().ticket,
    second: (body, headers) => world.post('/auth/login/second', body, headers)
  }
}

export const decode = (token: string): Record<string, unknown> =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
