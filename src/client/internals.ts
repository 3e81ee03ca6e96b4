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

/** A registered symbol, because bundles of entry points may contain copies of this module. */
const INTERNALS = Symbol.for('fastify-token-auth/client')

/**
 * Adds the internals to a client, invisible to loops and to `console.log`.
 *
 * A function returns them, so that tools which list the properties of a client find no token.
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
