/**
 * Fastify plugin for services that verify tokens and issue none.
 *
 * @module fastify-token-auth/verifier
 */

export { tokenVerifier } from './plugin.js'
export { authenticate, requireClaims, requireFresh } from '../http/hooks.js'
export { getAuth } from '../http/get-auth.js'
export { follow } from './follow.js'
export type {
  Auth,
  Authenticate,
  AuthGuard,
  ClaimRequirements,
  FollowableRequest,
  FreshOptions
} from '../decorators.js'
export type { DecoratorNames, ProtectExcept } from '../options/protection.js'
export type { FollowedSession } from '../live/follower.js'
export type { AuthClaims } from '../tokens/auth.js'
export { unprotectedRoutes } from './unprotected-routes.js'
export type { UnprotectedRoute } from '../http/unprotected-routes.js'
export type { TokenAuthEvents, TokenAuthListeners } from '../events.js'
export type {
  IntrospectionOptions,
  PublicAlgorithm,
  SyncOptions,
  TokenVerifierOptions,
  VerifierDpopOptions
} from './options.js'
