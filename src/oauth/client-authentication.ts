// How OAuth clients say who they are (RFC 6749 section 2.3.1): by HTTP Basic, in the form, or by their name alone.

import { TokenAuthError } from '../errors.js'
import { assertSingleAuthorization } from '../http/authorization.js'
import type { HttpRequest } from '../http/authorization.js'
import { badRequest } from '../http/body-parsers.js'
import type { ClientMembers, GetClientId } from '../http/routes/login.js'
import type { Client, ClientCredentials, Clients } from './clients.js'
import { answerOAuthErrors } from './errors.js'
import type { FastifyInstance, FastifyRequest } from 'fastify'

const isBasic = /^basic(?: |$)/i
const basicForm = /^basic +([a-z\d+/]+=*)$/i

/**
 * What a client says of itself; `null` where it says nothing. An empty parameter is as good as absent (RFC 6749 section 3.2).
 * @throws TokenAuthError AUTH_REQUEST_INVALID where it says so in two ways; AUTH_CLIENT_REJECTED where nobody can read it
 */
export function readClient (request: HttpRequest, body: ClientMembers): ClientCredentials | null {
  const [clientId, clientSecret] = [body.client_id || null, body.client_secret || null]
  const basic = readBasic(request)

  if (basic === null) {
    return clientId === null ? null : { clientId, clientSecret }
  }

  if (clientSecret !== null || (clientId !== null && clientId !== basic.clientId)) {
    throw badRequest('the client is named in two ways')
  }

  return basic
}

/** Of the body alone: what stands in front of a whole app may have asked for HTTP Basic too. */
export function createClientIdReader (clients: Clients): GetClientId {
  return (request, body) => {
    if (
      ![body.client_id, body.client_secret].every(value =>
        value == null || typeof value === 'string'
      )
    ) {
      throw badRequest('client_id and client_secret must be texts')
    }

    const credentials = body.client_id ? readClient(request, body) : null
    return credentials === null ? null : clients.authenticate(credentials).id
  }
}

function readBasic (request: HttpRequest): ClientCredentials | null {
  // Refuses two headers, of which Node silently keeps the first.
  assertSingleAuthorization(request)
  const { authorization = '' } = request.headers

  if (!isBasic.test(authorization)) {
    return null
  }

  const [, encoded = ''] = basicForm.exec(authorization) ?? []
  const text = Buffer.from(encoded, 'base64').toString()
  const colon = text.indexOf(':')

  // Whoever has tried that way is not believed another one.
  if (colon < 1) {
    throw new TokenAuthError('AUTH_CLIENT_REJECTED')
  }

  return {
    clientId: decodeForm(text.slice(0, colon)),
    clientSecret: decodeForm(text.slice(colon + 1)) || null
  }
}

// Both are encoded as in a form, before they are joined. Clients that forget it are understood all the same: a `+` is one, since
// there is no space in either.
function decodeForm (text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

// The routes for stock OAuth clients live in a scope of their own: forms alone, errors in the shape of RFC 6749, and a client
// that is known before anything else happens.

export type Form = Readonly<Record<string, string | undefined>>

/** */
export function prepareOAuthScope (scope: FastifyInstance, realm: string): void {
  scope.removeContentTypeParser('application/json')
  answerOAuthErrors(scope, realm)
}

/** The parameters of a request. An empty one is as good as absent (RFC 6749 section 3.2). */
export function formOf ({ body }: FastifyRequest): Form {
  return Object.fromEntries(Object.entries(body ?? {}).filter(([, value]) => value !== ''))
}

/** @throws TokenAuthError AUTH_CLIENT_REJECTED */
export function clientOf (request: FastifyRequest, form: Form, clients: Clients): Client {
  const credentials = readClient(request, form)

  if (credentials === null) {
    throw new TokenAuthError('AUTH_CLIENT_REJECTED')
  }

  return clients.authenticate(credentials)
}
