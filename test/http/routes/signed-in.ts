import type { Test } from 'tap'
import type { LightMyRequestResponse } from 'fastify'
import type { Session } from '../../../src/index.js'
import { createTestApp, REALM } from '../../helpers/app.js'
import type { TestApp, TestAppOptions } from '../../helpers/app.js'
import { SECOND } from '../../helpers/clock.js'
import { localStores } from '../../helpers/stores.js'

export const GRACE = 10 * SECOND

interface Signed extends TestApp {
  /** Refresh token of generation 0. */
  readonly first: string
  readonly sessionId: string
  row(): Promise<Session>
  names(): string[]
  /** Refreshes successfully and returns the refresh token of the response. */
  next(token: string): Promise<string>
}

type OpenStore = (typeof localStores)[keyof typeof localStores]

type SignIn = (t: Test, given?: TestAppOptions) => Promise<Signed>

export function createSignIn (open: OpenStore): SignIn {
  return async (t, given = {}) => {
    const { store, close } = await open()
    const test = await createTestApp({ store, ...given })
    t.teardown(async () => {
      await test.app.close()
      close()
    })
    const { refresh_token: first = '' } = await test.login()
    const [session] = await test.app.tokenAuth.listSessions('u-ann')
    const sessionId = session?.id ?? ''

    return {
      ...test,
      first,
      sessionId,
      row: async () => await store.find(REALM, sessionId) as Session,
      names: () => test.events.map(event => event.name),
      async next (token) {
        const response = await test.refresh(token)
        t.equal(response.statusCode, 200, response.body)
        return response.json().refresh_token
      }
    }
  }
}

export function assertRejected (t: Test, response: LightMyRequestResponse, code: string): void {
  t.equal(response.statusCode, 401)
  t.equal(response.json().code, code)
  t.equal(response.headers['cache-control'], 'no-store')
  t.match(response.headers['www-authenticate'], /^Bearer realm="auth"/)
}
