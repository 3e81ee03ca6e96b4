import { createAuthClient } from 'fastify-token-auth/client'

/** @typedef {import('fastify-token-auth/client').AuthClient} AuthClient */

/** @typedef {'request' | 'state' | 'tabs' | 'fault'} LogKind */

/**
 * Facts of an access token, in milliseconds. `expiresAt` is a time of `performance.now()`.
 * @typedef {{ generation: number, lifetime: number, expiresAt: number }} TokenFacts
 */

/**
 * Message of another tab: an access token, or the reason of a logout.
 * @typedef {{ token: string | null, isLogin?: boolean, reason?: string }} TabMessage
 */

/**
 * Creates a client that logs its requests, its state and the messages between tabs.
 *
 * It uses public options only. Tokens pass through this module, but the log contains only their
 * generation and their lifetime.
 *
 * @param {(kind: LogKind, message: string, detail?: string, isError?: boolean) => void} log
 * @param {(facts: TokenFacts) => void} onToken Called with each new access token.
 */
export function createWatchedClient (log, onToken) {
  /** Faults to inject into calls and refreshes. `overloads` counts refreshes that get 503. */
  const faults = { hasInvalidToken: false, losesResponse: false, overloads: 0 }

  /** @type {typeof fetch} */
  async function send (input, init = {}) {
    const { pathname } = new URL(input instanceof Request ? input.url : input)
    const { method = 'GET' } = init
    const isRefresh = pathname === '/auth/refresh'
    const headers = new Headers(init.headers)

    if (isRefresh && faults.overloads > 0) {
      faults.overloads--
      log('fault', `${method} ${pathname} → 503`, 'injected, with Retry-After: 1')
      return new Response(null, { status: 503, headers: { 'retry-after': '1' } })
    }

    if (isRefresh && faults.losesResponse) {
      headers.set('x-demo-fault', 'lose the response')
    }

    if (!isRefresh && faults.hasInvalidToken && headers.has('authorization')) {
      headers.set('authorization', 'Bearer invalid')
    }

    const startedAt = performance.now()
    const response = await fetch(input, { ...init, headers }).catch(error => {
      log('request', `${method} ${pathname} → no response`, '', true)
      throw error
    })
    const duration = Math.round(performance.now() - startedAt)
    const { access_token: token, expires_in: seconds, code = '' } = await response.clone().json()
      .catch(() => ({}))
    const facts = token
      ? { ...readFacts(token), expiresAt: startedAt + seconds * 1000 }
      : null
    const details = [code, facts && describeToken(facts), `${duration} ms`]

    if (isRefresh && faults.losesResponse) {
      faults.losesResponse = false
      log(
        'fault',
        `${method} ${pathname} → ${response.status}`,
        'refreshed, but the response is lost'
      )
      return response
    }

    // A visitor who was not signed in is not an error.
    const isError = !response.ok && code !== 'AUTH_REFRESH_MISSING'
    log(
      'request',
      `${method} ${pathname} → ${response.status}`,
      details.filter(Boolean).join(' · '),
      isError
    )

    if (facts) {
      faults.hasInvalidToken = false
      onToken(facts)
    }

    return response
  }

  class WatchedChannel extends BroadcastChannel {
    /** @param {string} name */
    constructor (name) {
      super(name)
      this.addEventListener('message', ({ data }) => {
        const { token } = /** @type {TabMessage} */ (data)
        log('tabs', `message from another tab: ${describeChange(data)}`, describeMessage(data))

        if (token && !data.reason) {
          onToken(readFacts(token))
        }
      })
    }

    /**
     * @override
     * @param {TabMessage} message
     */
    postMessage (message) {
      super.postMessage(message)
      log('tabs', `message to other tabs: ${describeChange(message)}`, describeMessage(message))
    }
  }

  /** @type {AuthClient} */
  const auth = createAuthClient({
    fetch: send,
    platform: { openChannel: name => new WatchedChannel(name) }
  })
  auth.subscribe(({ status, reason }) => {
    log('state', status, reason && `reason: ${reason}`)
  })
  return { auth, faults }
}

/** @param {TabMessage} message */
function describeChange ({ reason, isLogin }) {
  return reason ? 'signed out' : isLogin ? 'signed in' : 'refreshed'
}

/** @param {TabMessage} message */
function describeMessage ({ token, reason }) {
  return reason ? `reason: ${reason}` : token ? describeToken(readFacts(token)) : ''
}

/** @param {TokenFacts} facts */
function describeToken ({ generation, expiresAt }) {
  return `generation ${generation}, expires in ${
    Math.round((expiresAt - performance.now()) / 1000)
  } s`
}

/**
 * Reads the claims of an access token. The page and the server have the same clock in this demo.
 *
 * @param {string} token
 * @returns {TokenFacts}
 */
function readFacts (token) {
  const [, claims = ''] = token.split('.')
  const { gen, iat, exp } = JSON.parse(atob(claims.replaceAll('-', '+').replaceAll('_', '/')))

  return {
    generation: gen,
    lifetime: (exp - iat) * 1000,
    expiresAt: performance.now() + exp * 1000 - Date.now()
  }
}
