import { transportHeader } from '../../protocol.js'
import type { SessionListResponse, TokenResponse } from '../../protocol.js'
import { toCookieHeader } from './cookies.js'
import { getAuthCode, parseObject } from './http.js'
import type { ProbeResponse } from './http.js'
import type { Probe } from './target.js'

/** Addresses for documentation (RFC 5737), which no client has. */
const SPOOFED_ADDRESSES = ['203.0.113.1', '203.0.113.2', '203.0.113.3']

/** Characters of a token, so that it can be sent in a header. */
const TOKEN = /^[\w.-]+$/

/** Result of a login of the doctor. */
export interface LoginProbe {
  readonly response: ProbeResponse
  /** `null` if the login succeeded. */
  readonly failure: string | null
  /** Claims of the access token; `null` if there is none. */
  readonly claims: Readonly<Record<string, unknown>> | null
  /** Whether a key pair signs access tokens, so that there must be a JWKS. */
  readonly isKeySigned: boolean
  /** Address of the client as the app saw it; `null` if the app does not return it. */
  readonly address: string | null
}

/** Logs in with a spoofed `X-Forwarded-For`, reads the session, and logs out. */
export async function probeLogin (
  probe: Probe,
  credentials: { readonly username: string, readonly password: string },
  usesCookies: boolean
): Promise<LoginProbe> {
  const response = await probe.request('POST', 'login', {
    'x-forwarded-for': SPOOFED_ADDRESSES.join(', '),
    ...(usesCookies && { [transportHeader]: 'cookie' })
  }, { ...credentials, device: 'fastify-token-auth doctor' })
  const body = readTokens(response)
  const failure = response.status === 200 && body !== null
    ? null
    : `status ${response.status} ${getAuthCode(response) ?? ''}`.trim()

  if (body === null || failure !== null) {
    const none = { claims: null, isKeySigned: false, address: null }
    return { response, failure, ...none }
  }

  const token = body.access_token ?? findAccessCookie(response.cookies)
  const cookie = response.cookies.length > 0 ? { cookie: toCookieHeader(response.cookies) } : {}
  const headers = {
    ...cookie,
    ...(body.access_token !== undefined && { authorization: `Bearer ${body.access_token}` })
  }

  try {
    return {
      response,
      failure,
      claims: decodePart(token, 1),
      isKeySigned: !String(decodePart(token, 0)?.alg ?? 'HS').startsWith('HS'),
      address: await readAddress(probe, headers)
    }
  } finally {
    await probe.request('POST', 'logout', { ...headers, [transportHeader]: 'cookie' }, {
      ...(body.refresh_token !== undefined && { refresh_token: body.refresh_token })
    })
  }
}

/** Whether an address of the app comes from the spoofed header. */
export function isSpoofed (address: string): boolean {
  return SPOOFED_ADDRESSES.includes(address.replace(/^::ffff:/, ''))
}

async function readAddress (
  probe: Probe,
  headers: Readonly<Record<string, string>>
): Promise<string | null> {
  const { body } = await probe.request('GET', 'sessions', headers)
  const { sessions } = (parseObject(body) ?? {}) as Partial<SessionListResponse>
  const current = Array.isArray(sessions)
    ? sessions.find(session => session?.current)
    : undefined
  return typeof current?.ip === 'string' ? current.ip : null
}

/** Returns the tokens of a response; `null` if one of them is malformed. */
function readTokens ({ body }: ProbeResponse): Partial<TokenResponse> | null {
  const tokens = (parseObject(body) ?? {}) as Partial<TokenResponse>
  const isToken = (value: unknown): boolean =>
    value === undefined || (typeof value === 'string' && TOKEN.test(value))
  return isToken(tokens.access_token) && isToken(tokens.refresh_token) ? tokens : null
}

function findAccessCookie (cookies: readonly string[]): string | undefined {
  const cookie = cookies.find(header => /^[^=;]*-access=/.test(header))
  return cookie === undefined ? undefined : /=([^;]*)/.exec(cookie)?.[1]
}

function decodePart (token: string | undefined, part: 0 | 1): LoginProbe['claims'] {
  const encoded = token?.split('.')[part]

  return encoded === undefined
    ? null
    : parseObject(Buffer.from(encoded, 'base64url').toString('utf8'))
}
