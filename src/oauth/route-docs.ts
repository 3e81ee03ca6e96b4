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

/** Documentation of the OAuth routes. The endpoints check their forms without a schema. */
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
    description: 'RFC 7009. Unknown tokens and revoked sessions are no error.',
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
  metadata: {
    id: 'GetMetadata',
    summary: 'Get the metadata of the authorization server',
    description: 'RFC 8414.',
    access: 'public',
    documented: { response: { 200: metadataResponse } }
  }
} as const satisfies Readonly<Record<string, RouteDoc>>
