import { defaultPaths } from '../../protocol.js'
import { createFinding } from './findings.js'
import type { Finding } from './findings.js'
import { parseList, parseObject } from './http.js'
import type { ProbeResponse } from './http.js'
import type { Probe } from './target.js'

/** Members of private and secret keys (RFC 7518, section 6). */
const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']
/** Minimum time in seconds for which an app announces a key before it signs. */
const MAX_AGE = 300

type Jwk = Readonly<Record<string, unknown>>

/**
 * Checks the key set of a deployment.
 *
 * @param isRequired - Whether there must be one. Without keys, the app has no such route.
 * @returns `null` if there is none, and none is required.
 */
export async function checkJwks (probe: Probe, isRequired: boolean): Promise<Finding[] | null> {
  const { jwks, ownOrigin } = probe.target
  const url = jwks ?? ownOrigin + defaultPaths.jwks
  const response = await probe.send({ method: 'GET', url }).catch(() => null)

  if (response?.status === 404 && jwks === null && !isRequired) {
    return null
  }

  const keys = response?.status === 200 ? readKeys(response) : null

  if (response === null || keys === null) {
    return [createFinding('jwks-unreachable', describe(response, url))]
  }

  return [
    ...checkContentType(response),
    ...checkKeys(keys),
    ...checkAge(response)
  ]
}

function describe (response: ProbeResponse | null, url: string): string {
  if (response === null) {
    return `no response from ${url}`
  }

  return response.status === 200
    ? `no keys at ${url}`
    : `status ${response.status} at ${url}`
}

function readKeys ({ body }: ProbeResponse): readonly Jwk[] | null {
  const keys = parseObject(body)?.keys

  return Array.isArray(keys) && keys.length > 0 &&
      keys.every(key => typeof key === 'object' && key !== null)
    ? keys as Jwk[]
    : null
}

function checkContentType ({ headers }: ProbeResponse): Finding[] {
  const [type = ''] = (headers['content-type'] ?? 'none').toLowerCase().split(';')

  return ['application/jwk-set+json', 'application/json'].includes(type.trim())
    ? []
    : [createFinding('jwks-content-type', type.trim())]
}

function checkKeys (keys: readonly Jwk[]): Finding[] {
  const name = ({ kid }: Jwk): string => typeof kid === 'string' ? `"${kid}"` : 'a key without kid'
  const secret = keys.filter(key => PRIVATE_MEMBERS.some(member => member in key))

  if (secret.length > 0) {
    return [createFinding('jwks-private-key', secret.map(name).join(', '))]
  }

  if (keys.some(({ kid }) => typeof kid !== 'string' || kid === '')) {
    return [createFinding('jwks-kid', 'a key without "kid"')]
  }

  return new Set(keys.map(({ kid }) => kid)).size < keys.length
    ? [createFinding('jwks-kid', 'two keys with the same "kid"')]
    : []
}

function checkAge ({ headers }: ProbeResponse): Finding[] {
  const directives = parseList(headers['cache-control'])

  const read = (name: string): number | undefined => {
    const value = directives.find(directive => directive.startsWith(`${name}=`))
    return value === undefined ? undefined : Number(value.slice(name.length + 1))
  }

  const lifetime = Math.max(read('max-age') ?? 0, read('s-maxage') ?? 0)
  const age = Number(headers.age ?? 0)

  if (age > MAX_AGE) {
    return [createFinding('jwks-cache', `the response is ${age} s old`)]
  }

  return lifetime > MAX_AGE
    ? [createFinding('jwks-cache', `Cache-Control allows ${lifetime} s`)]
    : []
}
