import { createAuthClient } from 'fastify-token-auth/client'
import { Faults } from './faults.js'

/** @typedef {import('fastify-token-auth/client').AuthClient} AuthClient */

/** @typedef {'request' | 'state' | 'tabs' | 'fault' | 'attack'} LogKind */

/**
 * Facts of an access token, in milliseconds. `expiresAt` is a time of `performance.now()`.
 * @typedef {{ sessionId: string, generation: number, lifetime: number, expiresAt: number }}
 *   TokenFacts
 */

/**
 * Message of another tab: an access token, or the reason of a logout.
 * @typedef {{ token: string | null, isLogin?: boolean, reason?: string }} TabMessage
 */

/**
 * Creates a client that logs its requests, its state and the messages between tabs, and that can
 * inject faults into its requests.
 *
 * It uses public options only. Tokens pass through this module, but the log contains only their
 * generation and their lifetime.
 *
 * @param {(kind: LogKind, message: string, detail?: string, isError?: boolean) => void} log
 */
export function createWatchedClient (log) {
  const faults = new Faults()
  /** @type {TokenFacts | null} */
  let token = null

  /** @type {typeof fetch} */
  async function send (input, init = {}) {
    const { pathname } = new URL(input instanceof Request ? input.url : input)
    const { method = 'GET' } = init
    const isRefresh = pathname === '/auth/refresh'
    const headers = new Headers(init.headers)
    const authorization = headers.get('authorization')
    const { run } = faults
    // Only refreshes after the rejected call belong to the run.
    const refreshRun = isRefresh && run !== null && run.rejectedToken !== null ? run : null
    const losesResponse = refreshRun?.losesResponse === true

    if (refreshRun !== null && refreshRun.overloads > 0) {
      refreshRun.overloads--
      refreshRun.overloaded++
      log('fault', `${method} ${pathname} → 503`, 'caused by this page; Retry-After: 1 s')
      return new Response(null, { status: 503, headers: { 'retry-after': '1' } })
    }

    if (losesResponse) {
      headers.set('x-demo-fault', 'lose the response')
    }

    if (!isRefresh && run !== null && authorization !== null) {
      run.rejectedToken ??= authorization

      if (!run.isReplaced) {
        run.rejectedCalls++
        headers.set('authorization', 'Bearer invalid')
      }
    }

    const startedAt = performance.now()
    const response = await fetch(input, { ...init, headers }).catch(error => {
      log('request', `${method} ${pathname} → no response`, '', true)
      throw error
    })
    const duration = Math.round(performance.now() - startedAt)
    const { access_token: newToken, expires_in: seconds, code = '' } = await response.clone()
      .json()
      .catch(() => ({}))
    const facts = newToken
      ? { ...readFacts(newToken), expiresAt: startedAt + seconds * 1000 }
      : null
    const details = [code, facts && describeToken(facts), `${duration} ms`]

    if (refreshRun !== null && losesResponse) {
      refreshRun.losesResponse = false
      refreshRun.lostGeneration = readFacts(String(refreshRun.rejectedToken)).generation + 1
      log(
        'fault',
        `${method} ${pathname} → ${response.status}`,
        'caused by this page: the response is lost'
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
      token = facts

      if (refreshRun !== null) {
        refreshRun.generation = facts.generation
        refreshRun.isReplaced = true
      }
    }

    return response
  }

  /** @param {TabMessage} message Message with an access token. */
  function receiveToken ({ token: newToken, isLogin }) {
    const facts = readFacts(String(newToken))
    const { run } = faults

    // A comparison with the rejected token would not do: the server issues equal tokens within a
    // second.
    if (run !== null && run.rejectedToken !== null) {
      run.isReplaced = true
    }

    const isSameSession = token === null || token.sessionId === facts.sessionId

    // Messages of several tabs may arrive in any order. The client keeps the newest token, too.
    if (isLogin || token === null || (isSameSession && facts.expiresAt > token.expiresAt)) {
      token = facts
    }
  }

  class WatchedChannel extends BroadcastChannel {
    /** @param {string} name */
    constructor (name) {
      super(name)
      this.addEventListener('message', ({ data }) => {
        log('tabs', `message from another tab: ${describeChange(data)}`, describeMessage(data))

        if (data.token && !data.reason) {
          receiveToken(data)
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
    log('state', status.replace('-', ' '), reason && `reason: ${reason}`)

    if (status === 'signed-out') {
      token = null
    }
  })
  return { auth, faults, getToken: () => token }
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
  return `${describeRefreshes(generation)}, expires in ${
    Math.round((expiresAt - performance.now()) / 1000)
  } s`
}

/**
 * Describes how often a session was refreshed.
 *
 * @param {number} count The `gen` claim of an access token.
 * @returns {string}
 */
export function describeRefreshes (count) {
  return count === 0 ? 'not refreshed yet' : `refreshed ${count === 1 ? 'once' : `${count} times`}`
}

/**
 * Reads the claims of an access token. The page and the server have the same clock in this demo.
 *
 * @param {string} token
 * @returns {TokenFacts}
 */
function readFacts (token) {
  const [, claims = ''] = token.split('.')
  const { sid, gen, iat, exp } = JSON.parse(atob(claims.replaceAll('-', '+').replaceAll('_', '/')))

  return {
    sessionId: sid,
    generation: gen,
    lifetime: (exp - iat) * 1000,
    expiresAt: performance.now() + exp * 1000 - Date.now()
  }
}
