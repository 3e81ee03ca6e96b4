import { errorHeader, newTokenHeader } from '../protocol.js'
import type { Fetch } from './api.js'
import type { WithTimeout } from './async.js'
import { AuthError } from './errors.js'
import type { Platform } from './platform.js'
import type { Refresher } from './refresher.js'
import { createRepeatableRequest } from './repeatable-request.js'
import type { RepeatableRequest } from './repeatable-request.js'
import { isRecord, readHeader } from './responses.js'
import type { Session } from './session.js'
import { decodeClaims, readClocks } from './tokens.js'

/** Attempt to send a request. */
interface Attempt {
  readonly response: Response
  /** Token that was sent; `null` if a cookie carried it or no user was signed in. */
  readonly token: string | null
  readonly isSignedIn: boolean
  /** Signal of the session when the request was sent. It identifies the token. */
  readonly signal: AbortSignal
}

/** Meaning of a response for the token that was sent. */
type Verdict = 'accepted' | 'rejected' | 'unclear'

/**
 * Creates a `fetch` that adds the access token to requests to one origin.
 *
 * Refreshes the token and repeats the request once if the server rejects the token.
 *
 * @param baseUrl - Base of relative URLs. Only its origin receives tokens.
 */
export function createAuthorizedFetch (
  platform: Platform,
  session: Session,
  refresher: Refresher,
  withTimeout: WithTimeout,
  fetch: Fetch,
  baseUrl: string
): Fetch {
  const { origin } = new URL(baseUrl)
  /**
   * Signal of the token that replaced another one after a 401 response without a reason.
   *
   * A second such response is returned, because another refresh would not help either.
   */
  let replacementSignal: AbortSignal | null = null

  async function sendWithToken (request: RepeatableRequest): Promise<Attempt> {
    const { token, signal, state } = session
    const isSignedIn = state.status === 'signed-in'
    const headers = new Headers(request.headers)

    if (!isSignedIn) {
      return { response: await request.send(fetch), token: null, isSignedIn, signal }
    }

    if (token !== null) {
      headers.set('authorization', `Bearer ${token}`)
    }

    const response = await request.send(fetch, {
      ...(token === null && { credentials: 'include' }),
      headers
    })
    return { response, token, isSignedIn, signal }
  }

  /** Sets the token that a response renews, if it belongs to the session of the request. */
  function adoptRenewedToken ({ response, token, signal }: Attempt): void {
    const renewed = readHeader(response.headers, newTokenHeader)
    const [before, after] = [decodeClaims(token), decodeClaims(renewed)]

    if (
      session.signal !== signal || before.exp === undefined || after.exp === undefined ||
      // A cache may return the response to another user, or an old response.
      after.sid !== before.sid || after.sub !== before.sub || after.sub === undefined ||
      after.exp <= before.exp
    ) {
      return
    }

    // The difference between two `exp` claims needs no clock of this device.
    const lifetime = session.remaining + (after.exp - before.exp) * 1000

    if (lifetime > 0) {
      session.setToken({ token: renewed, lifetime, requestedAt: readClocks(platform) }, false)
    }
  }

  function judge ({ response, token, isSignedIn }: Attempt): Verdict {
    if (response.status !== 401) {
      return 'accepted'
    }

    const code = readHeader(response.headers, errorHeader) ?? ''
    const challenge = readHeader(response.headers, 'www-authenticate')

    if (!isSignedIn) {
      return 'unclear'
    }

    if (/^AUTH_(ACCESS|SESSION)_/.test(code) || challenge?.includes('invalid_token')) {
      return 'rejected'
    }

    // Another scheme, or a code that is not about the token, such as a wrong password.
    return code !== '' || (challenge !== null && token !== null) ? 'accepted' : 'unclear'
  }

  /** Adopts a renewed token of a response, and returns its meaning for the token that was sent. */
  function receive (attempt: Attempt): Verdict {
    const { response } = attempt

    if (!isResponse(response) || isFromElsewhere(response, origin)) {
      return 'accepted'
    }

    adoptRenewedToken(attempt)
    return judge(attempt)
  }

  /** Whether the session still has the token of an attempt. */
  function hasTokenOf ({ signal }: Attempt): boolean {
    return session.signal === signal
  }

  /** Replaces a token for later requests, because this one cannot be repeated. */
  async function replaceInBackground ({ signal }: Attempt): Promise<void> {
    await refresher.replaceToken(signal)
    replacementSignal = session.signal
  }

  /**
   * Replaces the token of the first attempt and repeats the request.
   *
   * @param isUserReplaced - Returns whether another user has signed in since the call.
   * @returns The first response if the request cannot be repeated with another token.
   */
  async function repeat (
    request: RepeatableRequest,
    first: Attempt,
    verdict: 'rejected' | 'unclear',
    isUserReplaced: () => boolean
  ): Promise<Response> {
    if (verdict === 'rejected' && hasTokenOf(first)) {
      session.invalidate()
    }

    if (!request.canRepeat) {
      if (verdict === 'unclear') {
        void replaceInBackground(first)
      }

      return first.response
    }

    await withTimeout(request.signal, signal =>
      verdict === 'rejected'
        ? refresher.waitForToken(signal)
        : refresher.replaceToken(first.signal))

    // Without another token, a second attempt would have the same result.
    if (isUserReplaced() || hasTokenOf(first) || session.state.status !== 'signed-in') {
      return first.response
    }

    const second = await sendWithToken(request)

    if (receive(second) === 'unclear' && first.isSignedIn) {
      replacementSignal = session.signal
    }

    return second.response
  }

  return async function authorizedFetch (input, init = {}) {
    const request = createRepeatableRequest(input, init, baseUrl)

    if (request.url.origin !== origin || request.headers.has('authorization')) {
      return request.send(fetch)
    }

    const { state: { status }, sessionVersion } = session
    // A request that one user started must not be sent with the token of another user.
    const isUserReplaced = (): boolean =>
      status === 'signed-in' && session.sessionVersion !== sessionVersion

    await withTimeout(request.signal, refresher.waitForToken)

    if (isUserReplaced()) {
      throw new AuthError('signed-out')
    }

    const first = await sendWithToken(request)
    const verdict = receive(first)

    if (verdict === 'accepted' || (verdict === 'unclear' && replacementSignal === session.signal)) {
      return first.response
    }

    return repeat(request, first, verdict, isUserReplaced)
  }
}

/** Whether a redirect led to another origin. The URL is empty if the response was constructed. */
function isFromElsewhere ({ url }: Response, origin: string): boolean {
  return Boolean(url) && new URL(url).origin !== origin
}

/** Whether a wrapper of `fetch` returned a response. Anything else is returned to its caller. */
function isResponse (value: unknown): value is Response {
  return isRecord(value)
}
