import type { Platform } from './platform.js'
import type { Refresher } from './refresher.js'
import type { Session } from './session.js'

/** Parts of a client that other entry points of the package use. */
export interface ClientInternals {
  readonly platform: Platform
  readonly session: Session
  readonly refresher: Refresher
  /** Absolute URL of the server. */
  readonly baseUrl: string
}

/** Entry points may be bundled separately, so a registered symbol instead of a module variable. */
const INTERNALS = Symbol.for('fastify-token-auth/client')

/**
 * Adds the internals to a client, invisible to loops and to `console.log`.
 *
 * A function returns them, so that nobody finds the access token in the properties of a client.
 */
export function setInternals<Client extends object> (
  client: Client,
  internals: ClientInternals
): Client {
  return Object.defineProperty(client, INTERNALS, { value: () => internals })
}

/** @throws TypeError if the object is not a client, for example a copy of one */
export function getInternals (client: object): ClientInternals {
  const { [INTERNALS]: getOfClient } = client as { [INTERNALS]?: () => ClientInternals }

  if (getOfClient === undefined) {
    throw new TypeError('"auth" must be the result of createAuthClient, not a copy')
  }

  return getOfClient()
}
