// The package's face.

export { tokenAuth, tokenAuth as default } from './plugin.js'
export { TokenAuthError } from './errors.js'
export { optionsFromEnv } from './options-from-env.js'
export type { TokenAuthEnv } from './options-from-env.js'
export type { TokenAuthOptions, Secret } from './options.js'
export type { CookieOptions } from './cookie-options.js'
export type { PasswordOptions } from './password-options.js'
export type { KeyAlgorithm, KeyInput, KeyMaterial, KeyUse } from './credentials/key-pairs.js'
export type { ThrottleOptions } from './throttle-options.js'
export type { Duration } from './durations.js'
export type { Auth, Authenticate, AuthGuard, ClaimDemands, OpenInCookieOptions, OpenOptions, SessionInfo, TokenAuth } from './decorators.js'
export type { AuthClaims } from './service/access.js'
export type { Wake } from './service/revocation-feed.js'
export type { SameContext } from './service/shadows.js'
export type { AuthUser, Users } from './service/users.js'
export type { EventName, Presentation, SessionEvent, TokenAuthEvents, TokenAuthListeners } from './service/events.js'
export type { CookieAnswer, ErrorCode, RouteName, SessionAnswer, SessionListAnswer, TokenAnswer } from './protocol.js'
export type {
  Caller, Cursor, Device, Millis, Revocation, RevocationReason, RevocationTarget, RotationAttempt, RotationOutcome,
  Session, TokenStore, Touch
} from './stores/token-store.js'
export type { Attempts, AttemptRule, AttemptStore } from './stores/attempt-store.js'
export { SessionRefusedError } from './stores/token-store.js'
