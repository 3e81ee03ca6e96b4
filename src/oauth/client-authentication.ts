import type { FastifyRequest } from 'fastify'
import { createBadRequestError, TokenAuthError } from '../errors.js'
import { assertSingleAuthorization } from '../http/authorization.js'
import type { HttpRequest } from '../http/authorization.js'
import type { ClientMembers } from '../http/authorization.js'
import type { GetClientId } from '../http/routes/login.js'
import type { Client, ClientCredentials, Clients } from './clients.js'

/** Parameters of a request to an OAuth endpoint, without empty ones. */
export type Form = Readonly<Record<string, string | undefined>>

const BASIC_SCHEME_PATTERN = /^basic(?: |$)/i
const BASIC_PATTERN = /^basic +([a-z\d+/]+=*)$/i

/**
 * Reads the credentials of a client from HTTP Basic or the body (RFC 6749, section 2.3.1).
 *
 * An empty parameter counts as missing (RFC 6749, section 3.2).
 *
 * @returns `null` if the request names no client.
 * @throws TokenAuthError `AUTH_REQUEST_INVALID` if the request uses both methods.
 * `AUTH_CLIENT_REJECTED` if the header is malformed.
 */
function readClientCredentials (
  request: HttpRequest,
  body: ClientMembers
): ClientCredentials | null {
  const [clientId, clientSecret] = [body.client_id || null, body.client_secret || null]
  const basic = readBasicCredentials(request)

  if (basic === null) {
    return clientId === null ? null : { clientId, clientSecret }
  }

  if (clientSecret !== null || (clientId !== null && clientId !== basic.clientId)) {
    throw createBadRequestError('more than one client authentication method was used')
  }

  return basic
}

/**
 * Creates the function that authenticates the OAuth client of a login.
 *
 * Ignores HTTP Basic unless the body has a `client_id`, because a proxy in front of the app may
 * require HTTP Basic for itself.
 */
export function createClientIdReader (clients: Clients): GetClientId {
  return (request, body) => {
    const members = [body.client_id, body.client_secret]

    if (!members.every(value => value == null || typeof value === 'string')) {
      throw createBadRequestError('client_id and client_secret must be strings')
    }

    const credentials = body.client_id ? readClientCredentials(request, body) : null
    return credentials === null ? null : clients.authenticate(credentials).id
  }
}

function readBasicCredentials (request: HttpRequest): ClientCredentials | null {
  assertSingleAuthorization(request)
  const { authorization = '' } = request.headers

  if (!BASIC_SCHEME_PATTERN.test(authorization)) {
    return null
  }

  const [, encoded = ''] = BASIC_PATTERN.exec(authorization) ?? []
  const credentials = Buffer.from(encoded, 'base64').toString()
  const colon = credentials.indexOf(':')

  // Credentials in the body must not replace a failed attempt by HTTP Basic.
  if (colon < 1) {
    throw new TokenAuthError('AUTH_CLIENT_REJECTED')
  }

  return {
    clientId: decodeFormValue(credentials.slice(0, colon)),
    clientSecret: decodeFormValue(credentials.slice(colon + 1)) || null
  }
}

// Clients must encode both parts as in a form. Some do not, so a value that cannot be decoded is
// used unchanged. `+` stays `+`, because neither part contains a space.
function decodeFormValue (value: string): string {
  try {
    return decodeURIComponent(value)
  } catch {
    return value
  }
}

/** Reads the parameters of a request. Drops empty ones (RFC 6749, section 3.2). */
export function readForm ({ body }: FastifyRequest): Form {
  return Object.fromEntries(Object.entries(body ?? {}).filter(([, value]) => value !== ''))
}

/**
 * Authenticates the client of a request to an OAuth endpoint.
 *
 * @throws TokenAuthError `AUTH_CLIENT_REJECTED` if the client is missing, unknown or has not proved
 * its identity.
 */
export function authenticateClient (request: FastifyRequest, form: Form, clients: Clients): Client {
  const credentials = readClientCredentials(request, form)

  if (credentials === null) {
    throw new TokenAuthError('AUTH_CLIENT_REJECTED')
  }

  return clients.authenticate(credentials)
}
