import type { SignInOptions } from '../http/sign-in-options.js'
import type { TestSessions, TestTokens } from '../http/test-sessions.js'
import { findRegistration } from '../http/registration.js'
import { isProduction } from '../lib/production.js'
import type { UserId } from '../sessions/user-id.js'
import { transportHeader } from '../protocol.js'

/** Part of a Fastify instance that {@link signIn} uses: the app, or the scope of a registration. */
export interface SignInApp {
  /** Starts the app, as in Fastify. */
  ready(listener: (error: Error | null) => void): unknown
}

/** Cookie in the form of `context.addCookies` of Playwright. */
export interface BrowserCookie {
  /** Name of the cookie. */
  readonly name: string
  /** Value of the cookie. */
  readonly value: string
  /** Host that gets the cookie. */
  readonly domain: string
  /** Path that gets the cookie. */
  readonly path: string
  /** Whether the cookie is hidden from scripts. */
  readonly httpOnly: boolean
  /** Whether browsers send the cookie over https only. */
  readonly secure: boolean
  /** Whether requests from other sites contain the cookie. */
  readonly sameSite: 'Strict' | 'Lax' | 'None'
}

/** Session of a test, with everything that a client of the app would send. */
export interface SignedInSession {
  /** ID of the user. */
  readonly userId: string
  /** ID of the session. */
  readonly sessionId: string
  /** Access token. {@link SignedInSession.expire} replaces it. */
  readonly accessToken: string
  /** Refresh token of the login, also if a cookie carries it. `null` if there is none. */
  readonly refreshToken: string | null
  /**
   * Headers for `app.inject` or `fetch`: `authorization`, and `cookie` if the session uses cookies.
   *
   * With cookies, `x-token-transport` tells the server that the client is not a browser, so that
   * requests pass the origin check. To test the check, add an `origin` header.
   */
  readonly headers: Record<string, string>
  /**
   * Cookies for `context.addCookies` of Playwright. Empty if the session uses no cookies.
   *
   * @example
   * ```ts
   * const { cookies } = await signIn(app, '1', { transport: 'cookie' })
   * await page.context().addCookies(cookies)
   * ```
   */
  readonly cookies: BrowserCookie[]
  /**
   * Replaces the access token with one of the same session that has expired.
   *
   * Changes `accessToken`, `headers` and `cookies` in place. The server responds to such a request
   * with 401 `AUTH_ACCESS_EXPIRED`. Other copies of the first token, the refresh token and the
   * session remain valid, so a refresh succeeds as after a real expiry.
   */
  expire(): void
  /**
   * Revokes the session. The server responds with 401 `AUTH_SESSION_REVOKED` from then on.
   *
   * @throws TokenAuthError `AUTH_STORE_UNAVAILABLE` if the store fails.
   */
  revoke(): Promise<void>
}

/**
 * Opens a session for a test, without a password and without a request. Takes about 1 ms.
 *
 * The session is real: it is in the store of the registration, its tokens have real signatures, and
 * it can be refreshed, listed and revoked. Waits until the app is ready. For an app with several
 * registrations, call `app.ready()` and pass the scope of one of them.
 *
 * Fails if `NODE_ENV` is `production`, now or when the app registered `tokenAuth`.
 *
 * @param userId - ID of a user that `users.findById` finds.
 * @throws Error if `tokenAuth` is not registered in the scope, the user is unknown or disabled,
 * `dpop.required` is set, or `NODE_ENV` is `production`.
 * @throws TypeError if an option is invalid or unknown.
 * @throws TokenAuthError `AUTH_STORE_UNAVAILABLE` if the store or a callback of `users` fails.
 * @example
 * ```ts
 * import { signIn } from 'fastify-token-auth/testing'
 *
 * const { headers } = await signIn(app, '1', { claims: { role: 'admin' } })
 * const response = await app.inject({ url: '/admin', headers })
 * ```
 */
export async function signIn (
  app: SignInApp,
  userId: UserId,
  options: SignInOptions = {}
): Promise<SignedInSession> {
  await waitUntilStarted(app)
  const { sessionId, tokens, ...opened } = await getTestSessions(app).open(userId, options)
  const { domain = 'localhost' } = options
  const headers: Record<string, string> = {}
  const cookies: BrowserCookie[] = []
  const session = {
    userId: opened.userId,
    sessionId,
    accessToken: tokens.accessToken,
    refreshToken: tokens.refreshToken,
    headers,
    cookies,
    expire () {
      setTokens(opened.expire())
    },
    async revoke () {
      await opened.revoke()
    }
  }

  // Keeps the objects, because a test may have taken them out of the session already.
  function setTokens (current: TestTokens): void {
    session.accessToken = current.accessToken
    Object.assign(headers, createHeaders(current))
    cookies.splice(
      0,
      cookies.length,
      ...current.setCookies.map(header => parseCookie(header, domain))
    )
  }

  setTokens(tokens)
  return session
}

async function waitUntilStarted (app: SignInApp): Promise<void> {
  if (findRegistration(app)?.testing?.isStarted() !== true) {
    // The promise of a scope rejects after the start (avvio 9), but the callback works.
    await new Promise<void>((resolve, reject) => {
      app.ready(error => {
        error === null || error === undefined ? resolve() : reject(error)
      })
    })
  }
}

/** @throws Error if the scope has no registration for tests. */
function getTestSessions (app: SignInApp): TestSessions {
  const registration = findRegistration(app)

  if (registration === null) {
    throw new Error(
      'tokenAuth is not registered in this scope; pass the app, or the scope that registers it, ' +
        'to signIn'
    )
  }

  if (registration.testing === undefined || isProduction()) {
    throw new Error(
      'signIn cannot be used with tokenVerifier or fakeAuth, or if NODE_ENV is "production"; ' +
        'set NODE_ENV=test before the app registers tokenAuth'
    )
  }

  if (!registration.testing.isStarted()) {
    throw new Error('signIn with a scope requires an app that is ready; await app.ready() first')
  }

  return registration.testing
}

function createHeaders ({ accessToken, isBearer, setCookies }: TestTokens): Record<string, string> {
  return {
    ...isBearer && { authorization: `Bearer ${accessToken}` },
    ...setCookies.length > 0 && {
      cookie: setCookies.map(header => header.split(';', 1)[0]).join('; '),
      [transportHeader]: 'cookie'
    }
  }
}

/** Parses a `Set-Cookie` header of the server (RFC 6265, section 4.1.1). */
function parseCookie (header: string, domain: string): BrowserCookie {
  const [pair = '', ...attributes] = header.split('; ')
  const values = new Map(attributes.map(attribute => {
    const [name = '', value = ''] = attribute.split('=')
    return [name.toLowerCase(), value]
  }))
  const separator = pair.indexOf('=')

  return {
    name: pair.slice(0, separator),
    value: pair.slice(separator + 1),
    domain,
    path: values.get('path') ?? '/',
    httpOnly: values.has('httponly'),
    secure: values.has('secure'),
    sameSite: values.get('samesite') as BrowserCookie['sameSite']
  }
}
