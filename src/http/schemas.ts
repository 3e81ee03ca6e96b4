// What the routes take and give, as JSON Schema.

import { MAX_PASSWORD_LENGTH } from '../login/passwords.js'

const text = (maxLength: number): object => ({
  type: 'string',
  maxLength,
  pattern: '^[^\\u0000]*$'
})
const nullableText = { type: ['string', 'null'] }
const time = { type: 'string' }
const user = { type: 'object', additionalProperties: true }

export const loginBody = {
  type: 'object',
  required: ['password'],
  properties: {
    username: text(320),
    email: text(320),
    password: { type: 'string', minLength: 1, maxLength: MAX_PASSWORD_LENGTH },
    device: text(128),
    device_token: { type: ['string', 'null'], maxLength: 128 },
    remember_me: { type: ['boolean', 'string', 'number', 'null'], maxLength: 16 }
  }
}

/** For @fastify/swagger: what the parsers of the scope take. */
export const acceptedContent = {
  consumes: ['application/json', 'application/x-www-form-urlencoded']
}

/** `null` is what an absent body is validated as, and what clients send that have no token. */
export const refreshTokenBody = {
  type: ['object', 'null'],
  properties: { refresh_token: { type: ['string', 'null'] } }
}

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
          device: nullableText,
          ip: nullableText,
          user_agent: nullableText,
          created_at: time,
          last_used_at: time,
          expires_at: time
        }
      }
    }
  }
}

export const userResponse = user

export const emptyResponse = { type: 'null' }
