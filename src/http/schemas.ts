import { MAX_PASSWORD_LENGTH } from '../login/passwords.js'

// PostgreSQL rejects strings that contain NUL. Serializers of several languages send null for a
// missing member. OpenAPI 3.0 has `nullable` and no lists of types.
const createStringSchema = (maxLength: number): object => ({
  type: 'string',
  nullable: true,
  maxLength,
  pattern: '^[^\\u0000]*$'
})
const nullableString = { type: 'string', nullable: true }
const rememberMe = {
  anyOf: [
    { type: 'boolean', nullable: true },
    { type: 'string', maxLength: 16 },
    { type: 'number' }
  ],
  description: 'Whether cookies survive a restart of the browser.'
}
const time = { type: 'string', format: 'date-time' }
const user = {
  type: 'object',
  additionalProperties: true,
  description: 'The user, as the app presents it.'
}

/** JSON Schema of a login request. */
export const loginBody = {
  type: 'object',
  required: ['password'],
  properties: {
    username: createStringSchema(320),
    email: createStringSchema(320),
    password: { type: 'string', minLength: 1, maxLength: MAX_PASSWORD_LENGTH },
    device: { ...createStringSchema(128), description: 'Label in the list of sessions.' },
    device_token: {
      type: 'string',
      nullable: true,
      maxLength: 128,
      description: 'Device token of an earlier login.'
    },
    remember_me: rememberMe
  }
}

/** JSON Schema of a step-up request. */
export const elevateBody = {
  type: 'object',
  required: ['password'],
  properties: {
    password: loginBody.properties.password,
    device_token: loginBody.properties.device_token,
    method: {
      ...createStringSchema(32),
      description: 'Method of the second factor, if the user has one.'
    },
    code: { ...createStringSchema(64), description: 'Code of the second factor.' }
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
  type: 'object',
  nullable: true,
  properties: { refresh_token: nullableString, remember_me: rememberMe }
}

/** JSON Schema of the response to a login or refresh. */
export const tokenResponse = {
  type: 'object',
  description: 'The tokens and the user. Tokens that travel in cookies are missing.',
  required: ['token_type', 'expires_in', 'user'],
  properties: {
    access_token: { type: 'string' },
    refresh_token: { type: 'string' },
    device_token: {
      type: 'string',
      description: 'Send it with the next login on this device.'
    },
    token_type: { type: 'string', enum: ['bearer', 'DPoP'] },
    expires_in: { type: 'integer', description: 'Lifetime of the access token in seconds.' },
    user
  }
}

/** JSON Schema of the list of sessions. */
export const sessionListResponse = {
  type: 'object',
  description: 'The live sessions, newest first.',
  required: ['sessions'],
  properties: {
    sessions: {
      type: 'array',
      items: {
        type: 'object',
        required: ['id', 'current', 'created_at', 'last_used_at', 'expires_at'],
        properties: {
          id: { type: 'string' },
          current: {
            type: 'boolean',
            description: 'Whether the request was sent with this session.'
          },
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
export const emptyResponse = { type: 'null', description: 'Done.' }
