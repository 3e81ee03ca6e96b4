/**
 * Routes for verified addresses, new passwords, sign-in by mail and second factors.
 *
 * @module fastify-token-auth/account
 */

export { accountFlows, accountFlows as default } from './plugin.js'
export type { AccountFlows } from './plugin.js'
export { defineAccountFlows } from './options.js'
export type {
  AccountOptions,
  CodeMessage,
  LifetimeOptions,
  LinkMessage,
  MessageLimitOptions,
  SecondFactorOptions,
  SendCallbacks,
  SendLimitOptions
} from './options.js'
export type { AccountUsers, SecondFactorMethod } from './users.js'
export type { Enrollment } from './enrollment.js'
export type { RecoveryCodes } from './recovery-codes.js'
export type { TotpEnrollment } from './totp.js'
export type {
  AccountRouteName,
  CodeChallengeResponse,
  SecondFactorResponse
} from '../protocol.js'
