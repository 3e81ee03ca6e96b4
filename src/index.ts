/**
 * Fastify plugin that issues, refreshes and revokes tokens, and the types of its options.
 *
 * @module fastify-token-auth
 */

export { tokenAuth, tokenAuth as default } from './plugin.js'
export { authenticate, requireClaims, requireFresh } from './http/hooks.js'
export { TokenAuthError } from './errors.js'
export type { TokenAuthErrorOptions } from './errors.js'
export { exposedHeaders } from './protocol.js'
export { getAuth } from './http/get-auth.js'
export type { AuthRequest } from './http/get-auth.js'
export type { CallerRequest, HttpRequest } from './http/authorization.js'
export type { CookieReply } from './http/cookies.js'
export type { OriginRequest } from './http/csrf.js'
export type { DpopRequest } from './http/dpop.js'
export { optionsFromEnv } from './options/from-env.js'
export type { TokenAuthEnv } from './options/from-env.js'
export type { DpopOptions } from './options/dpop.js'
export type { OAuthClient, OAuthOptions } from './options/oauth.js'
export type { OpenApiOptions } from './options/openapi.js'
export type { TokenAuthOptions } from './options/options.js'
export type { Party, Secret } from './options/signing.js'
export type { CookieOptions, PreviousCookie } from './options/transport.js'
export type { PasswordOptions } from './options/passwords.js'
export type {
  AccessTokenOptions,
  RefreshTokenOptions,
  RevocationOptions,
  SweepOptions
} from './options/sessions.js'
export type { Argon2Cost, StoredHash } from './login/hash-costs.js'
export type { HashLoad } from './login/hash-queue.js'
export type { KeyInput, KeyMaterial, KeyUse } from './tokens/keys.js'
export type { KeyAlgorithm } from './tokens/signatures.js'
export type { AuthClaims } from './tokens/auth.js'
export type {
  DecoratorNames,
  ProtectExcept,
  ProtectionOptions,
  ProtectOptions,
  TokenAuthDecoratorNames
} from './options/protection.js'
export type { StartupOptions } from './options/startup.js'
export type {
  AccountLimitOptions,
  AddressLimitOptions,
  ThrottleOptions
} from './options/throttle.js'
export type { Duration } from './lib/duration.js'
export type { Millis } from './lib/time.js'
export type {
  Auth,
  Authenticate,
  AuthenticatedRequest,
  AuthGuard,
  ClaimRequirements,
  ElevatedRequest,
  ElevateOptions,
  FollowableRequest,
  FreshOptions,
  OpenInCookieOptions,
  OpenOptions,
  SessionInfo,
  SessionOrigin,
  SessionRequest,
  TokenAuth,
  UnprotectedRoute
} from './decorators.js'
export type {
  CreatedOneTimeToken,
  NewOneTimeToken,
  OneTimeData,
  OneTimeExpectation,
  OneTimeTokens,
  RedeemedOneTimeToken,
  VerifiedOneTimeToken
} from './account/one-time-tokens.js'
export type {
  Health,
  HealthReason,
  HealthReasonCode,
  HealthStatus
} from './health/health.js'
export type { FollowedSession } from './live/follower.js'
export type { StoreDown } from './stores/startup.js'
export type { LastSweep } from './stores/sweeper.js'
export type { RevocationSubscriber } from './revocations/feed.js'
export type { InstanceClocks } from './revocations/store-clock.js'
export type { IsSameClient } from './sessions/replay-verdict.js'
export { defineUsers } from './sessions/user-callbacks.js'
export type {
  AuthUser,
  Awaitable,
  ParsedIds,
  PublicUser,
  UserCallbacks,
  Users,
  UsersWithParsedIds
} from './sessions/user-callbacks.js'
export type { UserId } from './sessions/user-id.js'
export type {
  Actor,
  EventMembers,
  EventName,
  LinkPurpose,
  Logger,
  RefreshRejection,
  SessionEvent,
  TokenAuthEvents,
  TokenAuthListeners,
  TokenUse
} from './events.js'
export type {
  CookieResponse,
  ErrorCode,
  RouteName,
  SessionListResponse,
  SessionResponse,
  TokenResponse
} from './protocol.js'
export type {
  Caller,
  Cursor,
  Device,
  FeedWindow,
  NotBefore,
  RealmRevocation,
  RealmTarget,
  ReplayRun,
  Revocation,
  RevocationDetails,
  RevocationPage,
  RevocationReason,
  RevocationTarget,
  RotateOptions,
  RotationAttempt,
  RotationOutcome,
  Session,
  SessionRevocation,
  SessionTarget,
  TokenStore,
  Touch,
  UserRevocation,
  UserTarget
} from './stores/token-store.js'
export type {
  AttemptCount,
  AttemptRule,
  AttemptStore,
  BlockedKey,
  CountedKey
} from './stores/attempt-store.js'
export { SessionRefusedError, StoreSetupError } from './stores/token-store.js'
