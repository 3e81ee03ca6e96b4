export { tokenVerifier } from './plugin.js'
export type { Auth, Authenticate, AuthGuard, ClaimRequirements } from '../decorators.js'
export type { AuthClaims } from '../tokens/auth.js'
export type { PublicAlgorithm, TokenVerifierOptions, VerifierDpopOptions } from './options.js'
