import { AuthError } from '../errors.js'
import type { AuthClient, StartingState } from '../types.js'

const STARTING: StartingState = Object.freeze({ status: 'starting', user: null })

async function reject (): Promise<never> {
  throw new AuthError('disposed', { message: 'the client of AuthProvider is null' })
}

/** Client of a provider without one, for example on a server. All calls reject. */
export const inactiveClient: AuthClient = Object.freeze({
  ready: Promise.resolve(STARTING),
  state: STARTING,
  login: reject,
  adopt: reject,
  elevate: reject,
  refresh: reject,
  logout: reject,
  logoutEverywhere: reject,
  sessions: reject,
  endSession: reject,
  endOtherSessions: reject,
  fetch: reject,
  getAccessToken: reject,
  subscribe: () => () => {},
  dispose () {}
})
