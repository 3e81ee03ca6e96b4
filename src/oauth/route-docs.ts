import type { RouteDoc } from '../http/openapi.js'

const FORM = ['application/x-www-form-urlencoded']
const string = { type: 'string' }
const client = { client_id: string, client_secret: string }

const errorBody = {
  type: 'object',
  required: ['error'],
  properties: { error: string, error_description: string }
}
const errors = {
  400: { ...errorBody, description: 'The request or the token is invalid.' },
  401: { ...errorBody, description: 'The client failed to authenticate.' },
  429: { ...errorBody, description: 'Too many attempts.' },
  503: { ...errorBody, description: 'The session store is unavailable.' }
}

const introspectionResponse = {
  type: 'object',
  description: 'The claims of the token, or `active: false`.',
  additionalProperties: true,
  required: ['active'],
  properties: { active: { type: 'boolean' } }
}

const tokenResponse = {
  type: 'object',
  description: 'The new tokens.',
  required: ['access_token', 'token_type', 'expires_in'],
  properties: {
    access_token: string,
    token_type: { type: 'string', enum: ['Bearer', 'DPoP'] },
    expires_in: { type: 'integer', description: 'Lifetime of the access token in seconds.' },
    refresh_token: string,
    scope: string
  }
}

const syncResponse = {
  type: 'object',
  description: 'The revocations since the cursor. If `complete` is `false`, more are left to read.',
  required: ['now', 'cursor', 'complete', 'retention', 'revocations', 'ignored'],
  properties: {
    now: { type: 'integer', description: 'Time of the session store in milliseconds.' },
    cursor: { type: 'string', description: 'Position of the next request.' },
    complete: { type: 'boolean' },
    retention: {
      type: 'integer',
      description: 'Milliseconds after which no access token from before a revocation is valid.'
    },
    revocations: {
      type: 'array',
      description: 'Of a session (`sid`), of a user (`sub` and `before`) or of all (`before`).',
      items: {
        type: 'object',
        required: ['at', 'reason'],
        properties: {
          at: { type: 'integer' },
          reason: string,
          sid: string,
          sub: string,
          before: { type: 'integer' },
          keep: string
        }
      }
    },
    ignored: { type: 'integer', description: 'Number of notes that were not accepted.' }
  }
}

const metadataResponse = {
  type: 'object',
  description: 'The metadata.',
  additionalProperties: true,
  required: ['issuer'],
  properties: { issuer: string }
}

const tokenForm = {
  consumes: FORM,
  body: { type: 'object', required: ['token'], properties: { token: string, ...client } }
}

/** Documentation of the OAuth routes. Those for forms check them without a schema. */
export const oauthRouteDocs = {
  token: {
    id: 'Token',
    summary: 'Exchange the refresh token of an OAuth client',
    description: 'RFC 6749, section 6.',
    access: 'client',
    documented: {
      consumes: FORM,
      body: {
        type: 'object',
        required: ['grant_type', 'refresh_token'],
        properties: {
          grant_type: { type: 'string', enum: ['refresh_token'] },
          refresh_token: string,
          scope: string,
          resource: string,
          ...client
        }
      },
      response: { 200: tokenResponse, ...errors }
    }
  },
  revoke: {
    id: 'Revoke',
    summary: 'Revoke the session of a token of an OAuth client',
    description: 'RFC 7009. Also succeeds for unknown tokens and revoked sessions.',
    access: 'client',
    documented: {
      ...tokenForm,
      response: { 200: { type: 'null', description: 'Done.' }, ...errors }
    }
  },
  introspect: {
    id: 'Introspect',
    summary: 'Get the claims of a token',
    description: 'RFC 7662. For clients with a secret.',
    access: 'client',
    documented: { ...tokenForm, response: { 200: introspectionResponse, ...errors } }
  },
  sync: {
    id: 'Sync',
    summary: 'Exchange accepted tokens for revocations',
    description: 'For services with a client that has `sync`. Sent once a second.',
    access: 'client',
    errors: ['AUTH_REQUEST_INVALID', 'AUTH_CLIENT_REJECTED', 'AUTH_STORE_UNAVAILABLE'],
    documented: { response: { 200: syncResponse } }
  },
  metadata: {
    id: 'GetMetadata',
    summary: 'Get the metadata of the authorization server',
    description: 'RFC 8414.',
    access: 'public',
    documented: { response: { 200: metadataResponse } }
  }
} as const satisfies Readonly<Record<string, RouteDoc>>
