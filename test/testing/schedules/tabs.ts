import { createAuthClient } from '../../../src/client/index.js'
import type { LocksLike } from '../../../src/client/index.js'
import { SECOND } from '../../helpers/clock.js'
import { decodeClaims, ISSUED_HEADER } from '../virtual-server.js'
import type { IssuedTokens } from '../virtual-server.js'
import { ORIGIN } from '../virtual-server.js'
import { checkSignOut, recordLogin, recordRace } from './sign-outs.js'
import type { DeviceState, Schedule, TabState } from './state.js'

/** A call may send its request once, and again after a 401. */
const MAX_SENDS = 2
/** Maximum number of equal refreshes or logouts in 10 s. Delays start at 0.5 s and double. */
const MAX_REQUESTS_IN_10_S = 8

/** Opens a tab with a client, and checks each request of the client. */
export function openTab (schedule: Schedule, owner: DeviceState): TabState {
  const { setup, server } = schedule
  const tab = owner.device.open({
    locks: setup.locks,
    channels: setup.channels ? 'work' : 'none'
  })
  const send = tab.wrap(server.send)
  const checker = createRequestChecker(schedule)
  const client = createAuthClient({
    baseUrl: ORIGIN,
    platform: { ...tab.platform, locks: watchLocks(owner, tab.platform.locks) },
    ...(setup.mode === 'keychain' && { storage: tab.storage, name: 'shared' }),
    fetch: async (input, init) => {
      const url = String(input)
      checker.checkRequest(state, url, new Headers(init?.headers), init?.body as string)
      const changesSession = /login|refresh|logout$/.test(url)

      if (changesSession) {
        recordRace(schedule, state)
      }

      try {
        const response = await send(input, init)
        checker.recordResponse(state, url, response)
        return response
      } finally {
        if (changesSession) {
          state.requestsInFlight--
        }
      }
    }
  })
  const state: TabState = {
    tab,
    client,
    owner,
    sentAt: new Map(),
    signedOutAt: 0,
    received: new Map(),
    unsavedSession: null,
    isRaced: false,
    requestsInFlight: 0,
    loginAt: 0,
    logoutAt: 0,
    lastSent: null,
    blockedUntil: 0,
    logins: 0,
    logouts: 0
  }
  owner.tabs.push(state)
  client.subscribe(authState => {
    if (tab.isAlive && authState.status === 'signed-out') {
      void checkSignOut(schedule, state, authState)
    }
  })
  return state
}

interface RequestChecker {
  checkRequest(state: TabState, url: string, headers: Headers, body: string): void
  recordResponse(state: TabState, url: string, response: Response): void
}

function createRequestChecker (schedule: Schedule): RequestChecker {
  const { setup, faults: { clock }, counts, violations, sends } = schedule

  /** Refreshes and logouts must be rare, and must respect `Retry-After`. */
  function checkRate (
    { tab, sentAt, blockedUntil }: TabState,
    route: string,
    request: string
  ): void {
    const now = clock.now()
    const times = [...(sentAt.get(request) ?? []), now].filter(at => at > now - 10 * SECOND)
    sentAt.set(request, times)

    if (times.length > MAX_REQUESTS_IN_10_S) {
      violations.push(`${tab.name} has sent ${times.length} requests to ${request} in 10 s`)
    }

    if (route === 'refresh' && now < blockedUntil) {
      violations.push(`${tab.name} refreshes ${blockedUntil - now} ms too early`)
    }
  }

  /** Calls must use the latest token, and never one that is known to have expired. */
  function checkToken (state: TabState, token: string | undefined): void {
    const { tab, client } = state

    if (token === undefined) {
      if (client.state.status === 'signed-in') {
        violations.push(`${tab.name} calls without its token`)
      }

      return
    }

    const { sid, exp } = decodeClaims(token)
    const received = state.received.get(token)
    // A client cannot know how long an uncounted sleep was before the server rejects its token. A
    // token that arrived before a counted sleep may be used once more.
    const isAgeKnown = received?.uncountedSleep === schedule.uncountedSleep &&
      (received.slept === clock.slept() || (received.usedAt ?? Infinity) < clock.slept())

    if (received !== undefined) {
      received.usedAt ??= clock.slept()
    }

    if (isAgeKnown && exp * 1000 + SECOND < clock.time()) {
      const age = clock.time() - exp * 1000
      violations.push(`${tab.name} calls with a token that expired ${age} ms ago`)
    }

    if (state.lastSent?.sid === sid && state.lastSent.exp > exp) {
      violations.push(`${tab.name} calls with an older token than before`)
    }

    state.lastSent = { sid, exp }
  }

  return {
    checkRequest (state, url, headers, body) {
      counts.requests++
      const { pathname, search } = new URL(url)
      const route = pathname.split('/').at(-1) ?? ''

      if (route === 'refresh' || route === 'logout') {
        checkRate(state, route, `${pathname} with ${headers.get('authorization')} and ${body}`)
      }

      if (route !== 'protected') {
        return
      }

      const count = (sends.get(search) ?? 0) + 1
      sends.set(search, count)

      if (count > MAX_SENDS) {
        violations.push(`${state.tab.name} sends call ${search} ${count} times`)
      }

      if (!setup.usesAccessCookie) {
        checkToken(state, headers.get('authorization')?.slice('Bearer '.length))
      }
    },

    recordResponse (state, url, { status, headers }) {
      const { owner } = state
      const { pathname } = new URL(url)

      if (pathname.endsWith('/refresh') && [429, 503].includes(status)) {
        state.blockedUntil = clock.now() + Number(headers.get('retry-after')) * 1000
      }

      const { access, refresh } = JSON.parse(headers.get(ISSUED_HEADER) ?? '{}') as IssuedTokens

      if (refresh !== undefined) {
        const { sid, exp } = decodeClaims(refresh)
        owner.refreshTokenExpiresAt = exp * 1000
        const tokens = schedule.refreshTokens.get(sid) ?? []

        if (!tokens.includes(refresh)) {
          schedule.refreshTokens.set(sid, [...tokens, refresh])
        }
      }

      if (access === undefined || status !== 200) {
        return
      }

      if (!state.received.has(access)) {
        const { uncountedSleep } = schedule
        state.received.set(access, { uncountedSleep, slept: clock.slept() })
      }

      const { sid } = decodeClaims(access)

      // A logout in the same tab voids earlier logins.
      if (!pathname.endsWith('/login') || state.logoutAt > state.loginAt) {
        return
      }

      // A login with a keychain takes effect when the keychain has saved the token.
      if (setup.mode === 'cookie') {
        recordLogin(schedule, state, sid)
      } else {
        state.unsavedSession = sid
      }
    }
  }
}

/** Records whether a tab gave up waiting for a lock. */
function watchLocks (owner: DeviceState, locks: LocksLike | null | undefined): LocksLike | null {
  if (!locks) {
    return null
  }

  return {
    async request (name, { signal }, work) {
      let hasLock = false
      signal.addEventListener('abort', () => {
        owner.hasMissedLock ||= !hasLock
      })

      return locks.request(name, { signal }, () => {
        hasLock = true
        return work()
      })
    }
  }
}
