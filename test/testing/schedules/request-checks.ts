import { SECOND } from '../../helpers/clock.js'
import { decodeClaims } from '../virtual-server.js'
import { CALL_HEADER } from './calls.js'
import { getUserId } from './state.js'
import type { DeviceClocks, ReceivedToken, Schedule, TabState } from './state.js'

/** A call may send its request once, and again after a 401. */
const MAX_SENDS = 2
/**
 * Maximum number of requests in {@link WINDOW} that one client may send to `refresh` and `logout`.
 * Counts only while none of them gets a response of the server.
 *
 * A login or logout that the user requests may add one request.
 */
const MAX_FAILING_REQUESTS = 6
const WINDOW = 10 * SECOND

/** Request as the client sent it, before any fault. */
export interface SentRequest {
  /** Path without the prefix, such as `refresh`. */
  readonly route: string
  readonly headers: Headers
}

/** Checks a request of a client when it is sent. */
export function checkRequest (schedule: Schedule, state: TabState, request: SentRequest): void {
  const { setup, counts } = schedule
  const { route, headers } = request
  counts.requests++
  checkRate(schedule, state, route)
  const call = schedule.calls.get(headers.get(CALL_HEADER) ?? '')

  if (call === undefined) {
    return
  }

  call.sends++

  if (call.sends > (call.isOnce ? 1 : MAX_SENDS)) {
    schedule.report('call', `${state.tab.name} sends a call to ${route} ${call.sends} times`)
  }

  if (!setup.usesAccessCookie) {
    checkToken(schedule, state, headers.get('authorization'), call.userId)
  }
}

/** A client that fails must not flood the server, and must respect `Retry-After`. */
function checkRate (
  { faults: { clock }, report }: Schedule,
  { tab, attempts, requestedAt, blockedUntil }: TabState,
  route: string
): void {
  if (route !== 'refresh' && route !== 'logout') {
    return
  }

  const now = clock.now()
  const isRecent = (at: number): boolean => at > now - WINDOW
  attempts.push(now)
  const count = attempts.filter(isRecent).length

  if (count > MAX_FAILING_REQUESTS + requestedAt.filter(isRecent).length) {
    report('rate', `${tab.name} has sent ${count} requests in 10 s, and none was answered`)
  }

  if (route === 'refresh' && now < blockedUntil) {
    report('rate', `${tab.name} refreshes ${blockedUntil - now} ms too early`)
  }
}

/** Calls must use the latest token of the session of their user, and none that has expired. */
function checkToken (
  schedule: Schedule,
  state: TabState,
  authorization: string | null,
  userId: string | null
): void {
  const { report, faults: { clock } } = schedule
  const { tab, client, owner, lastSent, replacedSessions } = state

  if (authorization === null) {
    if (client.state.status === 'signed-in') {
      report('token', `${tab.name} calls without its token`)
    }

    return
  }

  const token = authorization.slice('Bearer '.length)
  const { sid, sub, exp } = decodeClaims(token)
  checkOwner(schedule, state, token)

  if (userId !== null && userId !== sub) {
    report('token', `${tab.name} sends a call of ${userId} with a token of ${sub}`)
  }

  if (isKnownToHaveExpired(schedule, state, token)) {
    const age = clock.time() - exp * 1000
    report('token', `${tab.name} calls with a token that expired ${age} ms ago`)
  }

  if (lastSent?.sid === sid && lastSent.exp > exp) {
    report('token', `${tab.name} calls with an older token than before`)
  }

  if (lastSent !== null && lastSent.sid !== sid) {
    replacedSessions.add(lastSent.sid)
  }

  // Without a lock, two tabs that log in at the same time may disagree for a moment.
  if (replacedSessions.has(sid) && !owner.isAmbiguous) {
    report('token', `${tab.name} calls with a token of ${sid}, which was replaced`)
  }

  state.lastSent = { sid, exp }
}

/** A token must be of a session of this device, and of the user whom the client shows. */
export function checkOwner (schedule: Schedule, state: TabState, token: string): void {
  const { tab, owner } = state
  const { sid, sub } = decodeClaims(token)
  const shown = getUserId(state)

  if (!owner.sessions.has(sid)) {
    schedule.report('token', `${tab.name} uses a token of ${sub}, whose session is not its own`)
  }

  if (shown !== null && shown !== sub) {
    schedule.report('token', `${tab.name} shows ${shown}, but uses a token of ${sub}`)
  }
}

/** Whether the clocks of a device suffice to know that a token has expired. */
export function isKnownToHaveExpired (
  { faults: { clock } }: Schedule,
  { owner: { clocks }, received }: TabState,
  token: string
): boolean {
  const arrival = received.get(token)

  if (arrival === undefined) {
    return false
  }

  const isKnown = isAgeKnown(arrival, clocks)
  arrival.usedAt ??= clocks.sleeps
  return isKnown && decodeClaims(token).exp * 1000 + SECOND < clock.time()
}

/**
 * Whether a device knows the age of a token: by its monotonic clock or by its wall clock.
 *
 * A token that arrived before a sleep may be used once more, because it may be in use already.
 */
function isAgeKnown (arrival: ReceivedToken, clocks: DeviceClocks): boolean {
  const hasReliableClock = arrival.clocks.uncounted === clocks.uncounted ||
    arrival.clocks.dateShifts === clocks.dateShifts
  const isUnused = arrival.usedAt === undefined || arrival.usedAt >= clocks.sleeps
  return hasReliableClock && (arrival.clocks.sleeps === clocks.sleeps || !isUnused)
}
