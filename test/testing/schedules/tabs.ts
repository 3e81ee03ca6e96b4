import type { LocksLike } from '../../../src/client/index.js'
import { openClient } from '../../client/world.js'
import { decodeClaims, ISSUED_HEADER } from '../virtual-server.js'
import type { IssuedTokens } from '../virtual-server.js'
import { checkRequest } from './request-checks.js'
import { checkSignOut, recordLogin, recordRace, recordUnreadLogin } from './sign-outs.js'
import type { DeviceState, Schedule, TabState } from './state.js'
import { subscribeAll } from './subscriptions.js'

/** Opens a tab with a client, and checks each request of the client. */
export function openTab (schedule: Schedule, owner: DeviceState, logsOut = false): TabState {
  const { setup, server } = schedule
  const tab = owner.device.open({
    locks: setup.locks,
    channels: setup.channels ? 'work' : 'none',
    events: setup.events ? 'work' : 'none'
  })
  const send = tab.wrap(server.send)
  const client = openClient(tab, {
    platform: { locks: watchLocks(owner, tab.platform.locks) },
    ...(setup.mode === 'keychain' && { storage: 'keychain', name: 'shared' }),
    fetch: watchRequests(schedule, send, () => state)
  })
  const state: TabState = {
    tab,
    client,
    owner,
    subscriptions: [],
    attempts: [],
    requestedAt: [],
    signedOutAt: 0,
    received: new Map(),
    arrivedSession: null,
    isRaced: false,
    requestsInFlight: 0,
    loginAt: 0,
    logoutAt: 0,
    lastSent: null,
    replacedSessions: new Set(),
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
  tab.platform.onWake?.(() => {
    // The server may be reachable again, so the client need not wait.
    state.blockedUntil = 0
  })
  subscribeAll(schedule, state, logsOut)
  return state
}

/** Checks each request before it is sent, and records its response. */
function watchRequests (
  schedule: Schedule,
  send: typeof fetch,
  getState: () => TabState
): typeof fetch {
  return (input, init) => {
    const state = getState()
    const request = input instanceof Request ? input : null
    const { pathname } = new URL(request?.url ?? String(input))
    const route = pathname.split('/').at(-1) ?? ''
    const headers = new Headers(init?.headers ?? request?.headers)
    checkRequest(schedule, state, { route, headers })
    const changesSession = ['login', 'refresh', 'logout'].includes(route)

    if (changesSession) {
      recordRace(schedule, state)
    }

    const settle = (): void => {
      if (changesSession) {
        state.requestsInFlight--
      }
    }

    try {
      // Not in an async function, because a broken `fetch` throws before there is a promise.
      return send(input, init)
        .then(response => {
          recordResponse(schedule, state, route, response)
          return response
        })
        .finally(settle)
    } catch (error) {
      settle()
      throw error
    }
  }
}

function recordResponse (
  schedule: Schedule,
  state: TabState,
  route: string,
  response: Response
): void {
  const { setup: { mode }, faults: { clock } } = schedule
  const { owner } = state
  const headers = readHeaders(response)

  if (route === 'refresh' && [429, 503].includes(response?.status)) {
    state.blockedUntil = clock.now() + Number(headers?.get('retry-after')) * 1000
  }

  const issuedHeader = headers?.get(ISSUED_HEADER) ?? null

  // A proxy, a cache or a broken `fetch` has responded.
  if (issuedHeader === null || headers?.has('age')) {
    if (route === 'login' && mode === 'cookie') {
      recordUnreadLogin(schedule, state)
    }

    return
  }

  if (route === 'refresh' || route === 'logout') {
    state.attempts.length = 0
  }

  const { access, refresh } = JSON.parse(issuedHeader) as IssuedTokens

  if (refresh !== undefined) {
    recordRefreshToken(schedule, owner, refresh)
  }

  if (access === undefined || response.status !== 200) {
    return
  }

  const { sid, sub } = decodeClaims(access)
  owner.sessions.set(sid, sub)

  if (!state.received.has(access)) {
    state.received.set(access, { clocks: owner.clocks })
  }

  // A logout in the same tab voids earlier logins.
  if (route !== 'login' || state.logoutAt > state.loginAt) {
    return
  }

  state.arrivedSession = sid

  // A login with a keychain takes effect when the keychain has saved the token.
  if (mode === 'cookie') {
    recordLogin(schedule, state, sid)
  }
}

/** Returns the headers of a response; `null` if a broken `fetch` hides them. */
function readHeaders (response: Partial<Response> | undefined): Headers | null {
  try {
    return response?.headers ?? null
  } catch {
    return null
  }
}

function recordRefreshToken (schedule: Schedule, owner: DeviceState, token: string): void {
  const { sid, exp } = decodeClaims(token)
  owner.refreshTokenExpiresAt = exp * 1000
  const tokens = schedule.refreshTokens.get(sid) ?? []

  if (!tokens.includes(token)) {
    schedule.refreshTokens.set(sid, [...tokens, token])
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
