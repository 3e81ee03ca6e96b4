import { MAX_PASSWORD_LENGTH } from '../login/passwords.js'

// PostgreSQL rejects strings that contain NUL.
const text = (maxLength: number): object => ({
  type: 'string',
  minLength: 1,
  maxLength,
  pattern: '^[^\\u0000]*$'
})
const nullable = (schema: object): object => ({ ...schema, minLength: 0, nullable: true })
const email = text(320)
const token = { type: 'string', minLength: 1, maxLength: 8192 }
const password = { type: 'string', minLength: 1, maxLength: MAX_PASSWORD_LENGTH }
// The rules for new passwords have an error of their own.
const newPassword = { type: 'string', minLength: 1, maxLength: 8192 }

const body = (
  properties: Readonly<Record<string, object>>,
  required: readonly string[] = []
): object => ({
  type: 'object',
  // OpenAPI 3.0 allows no empty list.
  ...(required.length > 0 && { required }),
  properties
})

/** JSON Schema of a request for a message. */
export const emailBody = body({ email }, ['email'])

/** JSON Schema of a request with the token of a link. */
export const tokenBody = body({ token }, ['token'])

/** JSON Schema of a request that sets a new password by a link. */
export const resetBody = body({ token, password: newPassword }, ['token', 'password'])

/** JSON Schema of a request that changes a password. */
export const changeBody = body(
  { current_password: password, new_password: newPassword },
  ['current_password', 'new_password']
)

/** JSON Schema of a request that signs in by a link or a code. */
export const redeemBody = body({
  token: { ...nullable(token), description: 'Token of a link.' },
  challenge: { ...nullable(token), description: 'Challenge that the code was requested with.' },
  email: nullable(email),
  code: nullable(text(8)),
  device: { ...nullable(text(128)), description: 'Label in the list of sessions.' },
  remember_me: {
    anyOf: [
      { type: 'boolean', nullable: true },
      { type: 'string', maxLength: 16 },
      { type: 'number' }
    ],
    description: 'Whether cookies survive a restart of the browser.'
  }
})

/** JSON Schema of a request that completes a login. */
export const secondFactorBody = body({
  ticket: token,
  method: { type: 'string', enum: ['totp', 'recovery'] },
  code: text(64),
  device_token: { ...nullable(text(128)), description: 'Device token of an earlier login.' }
}, ['ticket', 'method', 'code'])

/** JSON Schema of the response to a request for a code. */
export const challengeResponse = {
  type: 'object',
  description: 'Send the challenge with the code and the address.',
  required: ['challenge', 'expires_in'],
  properties: {
    challenge: { type: 'string' },
    expires_in: { type: 'integer', description: 'Lifetime of the code in seconds.' }
  }
}

/** JSON Schema of a response without a body to a request for a message. */
export const acceptedResponse = {
  type: 'null',
  description: 'The message is sent if the address has an account.'
}
