/**
 * Client for browsers, React Native, Node, Bun and Deno.
 *
 * @module fastify-token-auth/client
 */

export { createAuthClient } from './client.js'
export { AuthError } from './errors.js'
export type {
  AuthClient,
  AuthClientOptions,
  AuthState,
  CallOptions,
  Credentials,
  ElevateCredentials,
  SignedInState,
  SignedOutState,
  SignOutReason,
  StartingState
} from './types.js'
export type { AuthErrorCode, AuthErrorOptions } from './errors.js'
export type { ChannelLike, FlagsLike, LocksLike, Platform } from './platform.js'
export type { TokenStorage } from './storage.js'
export type { ErrorCode, SecondFactorResponse, SessionResponse } from '../protocol.js'
