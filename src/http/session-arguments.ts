import { createTypeError } from '../lib/type-error.js'
import type { CallerRequest } from './authorization.js'

/** @throws TypeError unless a value is a request. */
export function assertSessionRequest (request: unknown, method: string): void {
  const { ip, headers } = (request ?? {}) as Partial<CallerRequest>
  const isValid = typeof headers === 'object' && headers !== null && isAbsentOrString(ip) &&
    isAbsentOrString(headers['user-agent'])

  if (!isValid) {
    throw createTypeError(`"request" of ${method} must be a Fastify request or { ip, headers }`)
  }
}

/** @throws TypeError unless a value can be the label of a device. */
export function assertDevice (device: unknown): void {
  assertType(isAbsentOrString(device), '"device" of openSession must be a string or null')
}

/**
 * Asserts that a value can be the `amr` of a token.
 *
 * Tokens with another `amr`, or a longer one, would be rejected at their first use.
 *
 * @throws TypeError if it is invalid or too long.
 */
export function assertMethods (amr: unknown, method: string, maxLength: number): void {
  const isValid = Array.isArray(amr) && amr.every(method => typeof method === 'string') &&
    amr.join('').length <= maxLength
  assertType(
    isValid,
    `"amr" of ${method} must be an array of strings, such as ["otp"], with at most ` +
      `${maxLength} characters in all`
  )
}

/**
 * Asserts that a name and a password are strings, and that a device token is one if it is set.
 *
 * For other values, the password hash or a callback of the app would fail with a confusing error.
 *
 * @throws TypeError if one of them is not.
 */
export function assertCredentials (login: unknown, password: unknown, deviceToken: unknown): void {
  assertType(
    typeof login === 'string' && typeof password === 'string' && isAbsentOrString(deviceToken),
    '"login" and "password" of verifyLogin must be strings, and "deviceToken" a string or null'
  )
}

function assertType (condition: boolean, message: string): void {
  if (!condition) {
    throw createTypeError(message)
  }
}

function isAbsentOrString (value: unknown): boolean {
  return value == null || typeof value === 'string'
}
