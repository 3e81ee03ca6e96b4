import { exposedHeaders, newTokenHeader, transportHeader } from '../../protocol.js'
import { createFinding } from './findings.js'
import type { Finding } from './findings.js'
import { getAuthCode, parseList } from './http.js'
import type { ProbeResponse } from './http.js'
import type { Probe } from './target.js'

/** Origins that no deployment trusts. The top-level domain `invalid` is reserved (RFC 2606). */
const UNKNOWN_ORIGINS = ['https://fastify-token-auth.invalid', 'null']
/** Request headers that the client sends. */
const REQUEST_HEADERS = ['authorization', 'content-type', transportHeader]

/** Whether clients of a deployment have their tokens in cookies: none, some or all. */
export type CookieUse = 'none' | 'optional' | 'required'

/** Checks that CORS allows no unknown origin, and everything for the origins of the target. */
export async function checkCors (probe: Probe, cookieUse: CookieUse): Promise<Finding[]> {
  for (const origin of UNKNOWN_ORIGINS) {
    const response = await probe.refresh({ origin })
    const { 'access-control-allow-origin': allowed } = response.headers

    if (allowsCredentials(response) && (allowed === origin || allowed === '*')) {
      const id = allowed === '*' ? 'cors-wildcard-credentials' : 'cors-any-origin'
      return [createFinding(id, origin === 'null' ? 'the origin "null"' : origin)]
    }
  }

  const findings: Finding[] = []

  const { origins, ownOrigin } = probe.target

  // Pages of the deployment itself need no CORS.
  for (const origin of origins.filter(origin => origin !== ownOrigin)) {
    const finding = await checkOrigin(probe, origin, cookieUse)

    if (finding !== null) {
      findings.push(finding)
    }
  }

  return findings
}

/** Returns the first fault, because the others may follow from it. */
async function checkOrigin (
  probe: Probe,
  origin: string,
  cookieUse: CookieUse
): Promise<Finding | null> {
  const preflight = await sendPreflight(probe, 'refresh', 'POST', origin)
  const response = await probe.refresh({ origin })
  // Pages that need no cookies need no credentials either.
  const usesCookies = cookieUse === 'required' ||
    (cookieUse === 'optional' && (allowsCredentials(preflight) || allowsCredentials(response)))
  const allowed = [preflight, response].map(({ headers }) =>
    parseList(headers['access-control-allow-origin'])
  )

  if (allowed.some(values => values.length > 1)) {
    return createFinding('cors-duplicate', origin)
  }

  const isAllowed = allowed.every(([value]) =>
    value === origin.toLowerCase() || (value === '*' && !usesCookies)
  )

  if (!isAllowed) {
    return createFinding('cors-origin-refused', origin)
  }

  if (usesCookies && !(allowsCredentials(preflight) && allowsCredentials(response))) {
    return createFinding('cors-credentials', origin)
  }

  const missing = [
    ...findMissingHeaders(preflight),
    ...await findMissingMethods(probe, origin, preflight)
  ]

  if (missing.length > 0) {
    return createFinding('cors-preflight', missing.join(', '))
  }

  const hidden = findHiddenHeaders(response)

  if (hidden.length > 0) {
    return createFinding('cors-expose', hidden.join(', '))
  }

  const isRejected = usesCookies &&
    getAuthCode(await probe.logout(origin)) === 'AUTH_ORIGIN_REJECTED'
  return isRejected ? createFinding('origin-untrusted', origin) : null
}

function sendPreflight (
  probe: Probe,
  route: 'refresh' | 'sessions',
  method: string,
  origin: string
): Promise<ProbeResponse> {
  return probe.request('OPTIONS', route, {
    origin,
    'access-control-request-method': method,
    'access-control-request-headers': REQUEST_HEADERS.join(',')
  })
}

function findMissingHeaders (preflight: ProbeResponse): string[] {
  const allowed = parseList(preflight.headers['access-control-allow-headers'])

  // The wildcard covers all headers except Authorization, and nothing with credentials.
  return REQUEST_HEADERS.filter(header =>
    !allowed.includes(header) &&
    !(allowed.includes('*') && header !== 'authorization' && !allowsCredentials(preflight))
  )
}

async function findMissingMethods (
  probe: Probe,
  origin: string,
  preflight: ProbeResponse
): Promise<string[]> {
  const hasSessions = getAuthCode(await probe.request('GET', 'sessions')) !== null
  const deletion = hasSessions
    ? await sendPreflight(probe, 'sessions', 'DELETE', origin)
    : null
  const isDeletable = deletion === null || allowsMethod(deletion, 'delete')
  // POST needs no permission (Fetch standard, CORS-safelisted method).
  return isDeletable || !isSuccess(preflight) ? [] : ['the method DELETE']
}

function allowsMethod (response: ProbeResponse, method: string): boolean {
  const methods = parseList(response.headers['access-control-allow-methods'])
  return methods.includes(method) || (methods.includes('*') && !allowsCredentials(response))
}

function findHiddenHeaders (response: ProbeResponse): string[] {
  const exposed = parseList(response.headers['access-control-expose-headers'])
  const isDpop = /\bDPoP\b/.test(response.headers['www-authenticate'] ?? '')
  // The plugin exposes them itself, on the responses that have them.
  const unused = [newTokenHeader, transportHeader, ...isDpop ? [] : ['dpop-nonce']]
  const isWildcard = exposed.includes('*') && !allowsCredentials(response)

  return isWildcard
    ? []
    : parseList(exposedHeaders.join()).filter(header =>
      !exposed.includes(header) && !unused.includes(header)
    )
}

function allowsCredentials ({ headers }: ProbeResponse): boolean {
  return headers['access-control-allow-credentials'] === 'true'
}

function isSuccess ({ status }: ProbeResponse): boolean {
  return status >= 200 && status < 300
}
