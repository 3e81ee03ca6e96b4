// How OAuth clients say who they are (RFC 6749 section 2.3.1): by HTTP Basic, in the form, or by their name alone.

import type { HttpRequest } from '../../bearer.js'
import type { ClientCredentials, Clients } from '../../service/clients.js'
import { malformed } from '../bodies.js'

/** The OAuth client that a login names, once it has authenticated; `null` where it names none. */
export type ClientIdOf = (request: HttpRequest, body: ClientMembers) => string | null

const basicForm = /^basic +([a-z\d+/]+=*)$/i

export interface ClientMembers {
  readonly client_id?: string | null | undefined
  readonly client_secret?: string | null | undefined
}

/**
 * What a client says of itself; `null` where it says nothing. An empty parameter is as good as absent (RFC 6749 section 3.2).
 * @throws TokenAuthError AUTH_REQUEST_INVALID where it says so in two ways
 */
export function readClient (request: HttpRequest, body: ClientMembers): ClientCredentials | null {
  const [clientId, clientSecret] = [body.client_id || null, body.client_secret || null]
  const basic = readBasic(request.headers.authorization)
  if (basic === null) return clientId === null ? null : { clientId, clientSecret }
  if (clientSecret !== null || (clientId !== null && clientId !== basic.clientId)) throw malformed('the client is named in two ways')
  return basic
}

/** Of the body alone: what stands in front of a whole app may have asked for HTTP Basic too. */
export function namedIn (clients: Clients): ClientIdOf {
  return (request, body) => {
    const credentials = body.client_id ? readClient(request, body) : null
    return credentials === null ? null : clients.authenticate(credentials).id
  }
}

function readBasic (authorization = ''): ClientCredentials | null {
  const [, encoded] = basicForm.exec(authorization) ?? []
  if (encoded === undefined) return null
  const text = Buffer.from(encoded, 'base64').toString()
  const colon = text.indexOf(':')
  if (colon < 1) return null
  return { clientId: decodeForm(text.slice(0, colon)), clientSecret: decodeForm(text.slice(colon + 1)) || null }
}

// Both are encoded as in a form, before they are joined.
function decodeForm (text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return text
  }
}
