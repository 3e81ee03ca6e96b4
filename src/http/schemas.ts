import { MAX_PASSWORD_LENGTH } from '../login/passwords.js'

// PostgreSQL rejects strings that contain NUL.
const createStringSchema = (maxLength: number): object => ({
  type: 'string',
  maxLength,
  pattern: '^[^\\u0000]*$'
})
const nullableString = { type: ['string', 'null'] }
const rememberMe = { type: ['boolean', 'string', 'number', 'null'], maxLength: 16 }
const time = { type: 'string' }
const user = { type: 'object', additionalProperties: true }

/** JSON Schema of a login request. */
export const loginBody = {
  type: 'object',
  required: ['password'],
  properties: {
    username: createStringSchema(320),
    email: createStringSchema(320),
    password: { type: 'string', minLength: 1, maxLength: MAX_PASSWORD_LENGTH },
    device: createStringSchema(128),
    device_token: { type: ['string', 'null'], maxLength: 128 },
    remember_me: rememberMe
  }
}

/** Content types that the parsers of the scope accept, for @fastify/swagger. */
export const acceptedContent = {
  consumes: ['application/json', 'application/x-www-form-urlencoded']
}

/**
 * JSON Schema of a request with an optional refresh token.
 *
 * Fastify validates a missing body as `null`. Some clients send `null` if they have no token.
 */
export const refreshTokenBody = {
  type: ['object', 'null'],
  properties: { refresh_token: { type: ['string', 'null'] }, remember_me: rememberMe }
}

/** JSON Schema of the response to a login or refresh. */
export const tokenResponse = {
  type: 'object',
  required: ['token_type', 'expires_in', 'user'],
  properties: {
    access_token: { type: 'string' },
    refresh_token: { type: 'string' },
    device_token: { type: 'string' },
    token_type: { type: 'string' },
    expires_in: { type: 'integer' },
    user
  }
}

/** JSON Schema of the list of sessions. */
export const sessionListResponse = {
  type: 'object',
  required: ['sessions'],
  properties: {
    sessions: {
      type: 'array',
      items: {
        type: 'object',
        required: ['id', 'current', 'created_at', 'last_used_at', 'expires_at'],
        properties: {
          id: { type: 'string' },
          current: { type: 'boolean' },
          device: nullableString,
          ip: nullableString,
          user_agent: nullableString,
          created_at: time,
          last_used_at: time,
          expires_at: time
        }
      }
    }
  }
}

/** JSON Schema of a user, as `users.present` returns it. */
export const userResponse = user

/** JSON Schema of a response without a body. */
export const emptyResponse = { type: 'null' }
