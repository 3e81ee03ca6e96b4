// A client with somebody looking over its shoulder: what it sends, what tabs tell each other, and trouble on request. All of
// it by options that everybody has. Tokens pass by here; what is told of them is their generation and their life.

import { createAuthClient } from 'fastify-token-auth/client'

/** @typedef {import('fastify-token-auth/client').AuthClient} AuthClient */

/** @typedef {'request' | 'state' | 'tabs' | 'trouble'} Kind */

/**
 * What is known of an access token: its generation, how long it is good for all in all, and when it ends by
 * `performance.now()`; all in milliseconds.
 * @typedef {{ generation: number, life: number, endsAt: number }} TokenFacts
 */

/**
 * What tabs tell each other: that somebody is signed in, with what is left of the token, or signed out.
 * @typedef {{ token: string | null, life: number, left: number, isLogin: boolean, reason?: undefined }} Arrival
 * @typedef {{ reason: string }} Departure
 */

/**
 * @param {(kind: Kind, text: string, detail?: string, isBad?: boolean) => void} tell Hears of all that happens.
 * @param {(facts: TokenFacts) => void} show Hears of each access token that arrives.
 */
export function watchClient (tell, show) {
  /** What is to go wrong: the token of calls, the answer to the next refresh, and how many refreshes are too many. */
  const trouble = { spoilt: false, lost: false, busy: 0 }

  /** @type {typeof fetch} */
  async function send (input, init = {}) {
    const { pathname } = new URL(input instanceof Request ? input.url : input)
    const { method = 'GET' } = init
    const isRefresh = pathname === '/auth/refresh'
    const headers = new Headers(init.headers)

    if (isRefresh && trouble.busy > 0) {
      trouble.busy--
      tell('trouble', `${method} ${pathname} → 503`, 'made up, with Retry-After: 1')
      return new Response(null, { status: 503, headers: { 'retry-after': '1' } })
    }

    if (isRefresh && trouble.lost) {
      headers.set('x-demo-trouble', 'lose the answer')
    }

    if (!isRefresh && trouble.spoilt && headers.has('authorization')) {
      headers.set('authorization', 'Bearer spoilt')
    }

    const since = performance.now()
    const response = await fetch(input, { ...init, headers }).catch(error => {
      tell('request', `${method} ${pathname} → no answer`, '', true)
      throw error
    })
    const took = Math.round(performance.now() - since)
    const { access_token: token, expires_in: seconds, code = '' } = await response.clone().json()
      .catch(() => ({}))
    const facts = token
      ? { generation: generationOf(token), life: seconds * 1000, endsAt: since + seconds * 1000 }
      : null
    const details = [code, facts && describe(facts, since), `${took} ms`]

    if (isRefresh && trouble.lost) {
      trouble.lost = false
      tell(
        'trouble',
        `${method} ${pathname} → ${response.status}`,
        'refreshed, but the answer is lost'
      )
      return response
    }

    // A visitor who was not signed in is none of the troubles.
    const isBad = !response.ok && code !== 'AUTH_REFRESH_MISSING'
    tell(
      'request',
      `${method} ${pathname} → ${response.status}`,
      details.filter(Boolean).join(' · '),
      isBad
    )

    if (facts) {
      trouble.spoilt = false
      show(facts)
    }

    return response
  }

  class WatchedChannel extends BroadcastChannel {
    /** @param {string} name */
    constructor (name) {
      super(name)
      this.addEventListener('message', ({ data }) => {
        hear(data)
      })
    }

    /**
     * @override
     * @param {Arrival | Departure} message
     */
    postMessage (message) {
      super.postMessage(message)
      tell('tabs', `told other tabs: ${verbOf(message)}`, detailOf(message))
    }
  }

  /** @param {Arrival | Departure} message */
  function hear (message) {
    tell('tabs', `heard of another tab: ${verbOf(message)}`, detailOf(message))

    if (message.reason === undefined) {
      show(factsOf(message))
    }
  }

  /** @type {AuthClient} */
  const auth = createAuthClient({
    fetch: send,
    platform: { openChannel: name => new WatchedChannel(name) }
  })
  auth.subscribe(({ status, reason }) => {
    tell('state', status, reason && `reason: ${reason}`)
  })
  return { auth, trouble }
}

/**
 * @param {Arrival} message
 * @returns {TokenFacts}
 */
function factsOf ({ token, life, left }) {
  return { generation: generationOf(token), life, endsAt: performance.now() + left }
}

/** @param {Arrival | Departure} message */
function verbOf (message) {
  return message.reason !== undefined ? 'signed out' : message.isLogin ? 'signed in' : 'refreshed'
}

/** @param {Arrival | Departure} message */
function detailOf (message) {
  return message.reason !== undefined
    ? `reason: ${message.reason}`
    : describe(factsOf(message), performance.now())
}

/**
 * @param {TokenFacts} facts
 * @param {number} now
 */
function describe ({ generation, endsAt }, now) {
  return `generation ${generation}, good for ${Math.round((endsAt - now) / 1000)} s`
}

/** @param {string | null} token */
function generationOf (token) {
  const [, claims = ''] = token?.split('.') ?? []
  return Number(JSON.parse(atob(claims.replaceAll('-', '+').replaceAll('_', '/')) || '{}').gen)
}
