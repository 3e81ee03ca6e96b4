import type { AuthClient } from '../../../src/client/index.js'
import { isLive } from '../../../src/domain/session.js'
import type { Device, Faults, Tab } from '../../../src/testing/index.js'
import type { Server, ServerKind } from '../virtual-server.js'

/** Properties of a schedule that its seed decides. */
export interface Setup extends ServerKind {
  readonly mode: 'cookie' | 'keychain'
  readonly locks: 'work' | 'stuck' | 'none'
  readonly channels: boolean
  readonly devices: number
  /** Maximum number of tabs of a device. */
  readonly tabs: number
}

/** Tab with a client, and the facts that the checks need. */
export interface TabState {
  readonly tab: Tab
  readonly client: AuthClient
  readonly owner: DeviceState
  /** Times of the refreshes and logouts in the last 10 s, by request. */
  readonly sentAt: Map<string, number[]>
  /** Positions in {@link Schedule.nextPosition}: last sign-out, login call and logout call. */
  signedOutAt: number
  loginAt: number
  logoutAt: number
  /** Session and expiry of the access token that was sent last. */
  lastSent: { readonly sid: string, readonly exp: number } | null
  /** Access tokens that arrived in this tab. */
  readonly received: Map<string, ReceivedToken>
  /** Session of a login that the keychain has not saved yet. */
  unsavedSession: string | null
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

/** Sleep of the device when a token arrived, and when the token was used first. */
export interface ReceivedToken {
  readonly uncountedSleep: number
  readonly slept: number
  usedAt?: number
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
  /** Whether the last logout applies to all tabs, because no login was pending. */
  isLogoutFinal: boolean
  /** Whether a tab did not get a lock in time, so that its client may ignore locks from then on. */
  hasMissedLock: boolean
  /** Whether the expected state is unknown, because a crash or a race interrupted a change. */
  isAmbiguous: boolean
  /** Expiry of the last refresh token, and of its cookie. */
  refreshTokenExpiresAt: number
}

/** State of a schedule. The checks know the store and the responses, but not the client's code. */
export interface Schedule {
  readonly faults: Faults
  readonly setup: Setup
  readonly server: Server
  readonly devices: readonly DeviceState[]
  readonly counts: { requests: number, calls: number }
  readonly violations: string[]
  /** Number of requests by the query string of their call. */
  readonly sends: Map<string, number>
  /** Sessions with a deliberate reuse of a refresh token. */
  readonly replayedSessions: Set<string>
  /** Refresh tokens by session, in the order of their arrival. */
  readonly refreshTokens: Map<string, string[]>
  /** Milliseconds that devices slept without counting them in their monotonic clock. */
  uncountedSleep: number
  /** Returns the next position in the order of events. */
  nextPosition(): number
}

export function createSchedule (faults: Faults, setup: Setup, server: Server): Schedule {
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
      isLogoutFinal: true,
      hasMissedLock: false,
      isAmbiguous: false,
      refreshTokenExpiresAt: 0
    })),
    counts: { requests: 0, calls: 0 },
    violations: [],
    sends: new Map(),
    replayedSessions: new Set(),
    refreshTokens: new Map(),
    uncountedSleep: 0,
    nextPosition: () => ++position
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
