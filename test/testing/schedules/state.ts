import type { AuthClient } from '../../../src/client/index.js'
import { isLive } from '../../../src/domain/session.js'
import type { Device, Faults, Tab } from '../../../src/testing/index.js'
import type { Server, ServerKind } from '../virtual-server.js'
import type { Subscription } from './subscriptions.js'

/** Properties of a schedule that its seed decides. */
export interface Setup extends ServerKind {
  readonly mode: 'cookie' | 'keychain'
  readonly locks: 'work' | 'stuck' | 'none'
  readonly channels: boolean
  /** Whether tabs get an event after a sleep or an offline period. */
  readonly events: boolean
  readonly devices: number
  /** Maximum number of tabs of a device. */
  readonly tabs: number
}

/** Tab with a client, and the facts that the checks need. */
export interface TabState {
  readonly tab: Tab
  readonly client: AuthClient
  readonly owner: DeviceState
  /** Subscriptions to the state of the client, and what they were told. */
  readonly subscriptions: Subscription[]
  /** Times of the refreshes and logouts since the server responded to one. */
  readonly attempts: number[]
  /** Times of the logins and logouts that the user requested. */
  readonly requestedAt: number[]
  /** Positions in {@link Schedule.nextPosition}: last sign-out, login call and logout call. */
  signedOutAt: number
  loginAt: number
  logoutAt: number
  /** Session and expiry of the access token that was sent last. */
  lastSent: { readonly sid: string, readonly exp: number } | null
  /** Sessions whose tokens were sent before that of {@link lastSent}. */
  readonly replacedSessions: Set<string>
  /** Access tokens that arrived in this tab. */
  readonly received: Map<string, ReceivedToken>
  /** Session of a login whose response has arrived, and whose call is pending. */
  arrivedSession: string | null
  /** Whether another tab was active during a login without a lock, so that either may win. */
  isRaced: boolean
  /** Number of requests in flight that change the stored token. */
  requestsInFlight: number
  /** Time until which the server has asked this tab not to refresh. */
  blockedUntil: number
  /** Number of pending calls of `login`. */
  logins: number
  /** Number of pending calls of `logout` and `logoutEverywhere`. */
  logouts: number
}

/** Clocks of the device when a token arrived, and its sleep when the token was used first. */
export interface ReceivedToken {
  readonly clocks: DeviceClocks
  usedAt?: number
}

/** Changes of the clocks of a device so far. */
export interface DeviceClocks {
  /** Number of sleeps. */
  readonly sleeps: number
  /** Number of sleeps that the monotonic clock does not count. */
  readonly uncounted: number
  /** Number of changes of the date. */
  readonly dateShifts: number
}

/** Device with its tabs, and the facts that the checks need. */
export interface DeviceState {
  readonly device: Device
  readonly tabs: TabState[]
  /** Session of the last login that arrived on this device. */
  session: string | null
  /** Positions of the last login (call and response) and the last logout call. */
  loginCalledAt: number
  loginAt: number
  logoutAt: number
  /** Virtual time of the last login. */
  loggedInAt: number
  /** Whether the last logout applies to all tabs, because no login was pending. */
  isLogoutFinal: boolean
  /** Whether a tab did not get a lock in time, so that its client may ignore locks from then on. */
  hasMissedLock: boolean
  /** Whether the expected state is unknown, because a crash or a race interrupted a change. */
  isAmbiguous: boolean
  /** Expiry of the last refresh token, and of its cookie. */
  refreshTokenExpiresAt: number
  /** Users by the sessions whose tokens the server has sent to this device. */
  readonly sessions: Map<string, string>
  clocks: DeviceClocks
}

/** Call of a client to a protected route. */
export interface Call {
  /** User who was signed in at the start of the call; `null` if unknown. */
  readonly userId: string | null
  /** Whether the body can be read once only. */
  readonly isOnce: boolean
  /** Number of requests. */
  sends: number
}

/**
 * Rule that every client follows.
 *
 * - `sign-out`: nobody is signed out by accident, and calls succeed again after each fault.
 * - `rate`: a client that fails sends few requests, and an idle client none.
 * - `state`: the last state that a subscription was told is the state.
 * - `token`: calls use a valid token of the session of their user, and of no other session.
 * - `logout`: a logout leaves nothing behind.
 * - `call`: a call settles in time, and its body arrives whole or not at all.
 */
export type Rule = 'sign-out' | 'rate' | 'state' | 'token' | 'logout' | 'call'

export interface Violation {
  readonly rule: Rule
  readonly message: string
}

/** State of a schedule. The checks know the store and the responses, but not the client's code. */
export interface Schedule {
  readonly faults: Faults
  readonly setup: Setup
  readonly server: Server
  readonly devices: readonly DeviceState[]
  readonly counts: { requests: number, calls: number }
  readonly violations: readonly Violation[]
  /** Reports a violation, which fails the current step. */
  report(rule: Rule, message: string): void
  /** Calls by the value of their header. */
  readonly calls: Map<string, Call>
  /** Sessions with a deliberate reuse of a refresh token. */
  readonly replayedSessions: Set<string>
  /** Refresh tokens by session, in the order of their arrival. */
  readonly refreshTokens: Map<string, string[]>
  /** Returns the next position in the order of events. */
  nextPosition(): number
}

export function createSchedule (faults: Faults, setup: Setup, server: Server): Schedule {
  const violations: Violation[] = []
  let position = 0

  return {
    faults,
    setup,
    server,
    devices: Array.from({ length: setup.devices }, () => ({
      device: faults.device(),
      tabs: [],
      session: null,
      loginCalledAt: 0,
      loginAt: 0,
      logoutAt: 0,
      loggedInAt: 0,
      isLogoutFinal: true,
      hasMissedLock: false,
      isAmbiguous: false,
      refreshTokenExpiresAt: 0,
      sessions: new Map(),
      clocks: { sleeps: 0, uncounted: 0, dateShifts: 0 }
    })),
    counts: { requests: 0, calls: 0 },
    violations,
    report (rule, message) {
      violations.push({ rule, message })
    },
    calls: new Map(),
    replayedSessions: new Set(),
    refreshTokens: new Map(),
    nextPosition: () => ++position
  }
}

/** Returns the id of the user of a client; `null` if unknown. */
export function getUserId ({ client }: TabState): string | null {
  const { user } = client.state
  return user === null ? null : (user as { readonly id: string }).id
}

/** Records a sleep of a device, or a change of its date. */
export function recordClocks (owner: DeviceState, change: keyof DeviceClocks): void {
  const { clocks } = owner
  owner.clocks = { ...clocks, [change]: clocks[change] + 1 }

  // The client may judge a delay by either clock.
  for (const state of owner.tabs) {
    state.blockedUntil = 0
  }
}

export function getAliveTabs ({ tabs }: DeviceState): TabState[] {
  return tabs.filter(({ tab }) => tab.isAlive)
}

/** Returns the refresh token that the next tab of a device will find. */
export function getStoredToken ({ setup }: Schedule, { device }: DeviceState): string | null {
  const stored = setup.mode === 'keychain'
    ? device.stored
    : device.cookies.entries().get('__Host-auth-refresh') ?? null
  return stored === null || stored.startsWith('out:') ? null : stored
}

/** Whether a device has saved a logout that the server has not acknowledged yet. */
export function hasPendingLogout ({ device }: DeviceState): boolean {
  return [device.stored, ...device.flags.values()].some(stored => stored?.startsWith('out:'))
}

async function isSessionAlive ({ server, faults }: Schedule, sid: string | null): Promise<boolean> {
  const session = sid === null ? null : await server.store.find('auth', sid)
  return session !== null && isLive(session, faults.clock.time())
}

/**
 * Whether the session of a device can continue.
 *
 * A cookie expires before its session if the response that extended both was lost.
 */
export async function canContinue (schedule: Schedule, owner: DeviceState): Promise<boolean> {
  const { setup: { mode }, faults: { clock } } = schedule
  const hasToken = mode === 'keychain' || clock.time() < owner.refreshTokenExpiresAt
  return hasToken && isSessionAlive(schedule, owner.session)
}
