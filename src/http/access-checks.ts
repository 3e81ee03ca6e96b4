import type { FastifyInstance } from 'fastify'
import type { RevokedSessions } from '../revocations/revoked.js'
import type { AccessVerifier } from '../sessions/access-verifier.js'
import type { Renewal } from '../sessions/renewal.js'
import { createAccessCheck } from './authenticate.js'
import type { AccessCheck, TokenSources } from './authenticate.js'
import type { RequestDpop } from './dpop.js'
import { createTokenRenewer } from './renewed-tokens.js'
import type { RequestRenewer } from './renewed-tokens.js'
import type { TransportSettings } from './token-transport.js'

/** Checks of the access tokens of one registration, and what they use. */
export interface AccessChecks {
  /** Check of the app's routes. */
  readonly check: AccessCheck
  /** Check of the plugin's own routes, which ignores their `config`. */
  readonly ownCheck: AccessCheck
  readonly sources: TokenSources
  /** `null` if access tokens are not renewed silently. */
  readonly renewer: RequestRenewer | null
}

/** Creates the checks of a registration, and the hook that adds renewed tokens to responses. */
export function createAccessChecks (
  app: FastifyInstance,
  { access, renewal, revoked }: {
    readonly access: AccessVerifier
    readonly renewal: Renewal | null
    readonly revoked: RevokedSessions
  },
  { accessCookie, origins }: TransportSettings,
  dpop: RequestDpop | null
): AccessChecks {
  const sources: TokenSources = {
    accessCookie: accessCookie === null ? null : { cookie: accessCookie, origins },
    dpop
  }
  const renewer = renewal === null
    ? null
    : createTokenRenewer(app, renewal, accessCookie, revoked)
  const context = { ...sources, verifier: access, renewer, requiresDpop: false }

  return {
    check: createAccessCheck(context),
    // An `onRoute` hook of the app may mark all routes as public, also those of the plugin.
    ownCheck: createAccessCheck(context, () => undefined),
    sources,
    renewer
  }
}
