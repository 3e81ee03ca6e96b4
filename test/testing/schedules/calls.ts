import { Readable } from 'node:stream'
import type { Random } from '../../../src/testing/index.js'
import { PASSWORD } from '../../helpers/app.js'
import { SECOND } from '../../helpers/clock.js'
import { decodeClaims, ORIGIN } from '../virtual-server.js'
import { checkOwner, isKnownToHaveExpired } from './request-checks.js'
import { recordLogin, recordLogout } from './sign-outs.js'
import { getUserId } from './state.js'
import type { Schedule, TabState } from './state.js'

const CALL_TIMEOUT = 30 * SECOND
const CONTENT = 'whole'

/** Request header with the number of a call, for the test alone. */
export const CALL_HEADER = 'x-test-call'

export interface CallResult {
  /** Status of the response; 0 if the call was rejected. */
  readonly status: number
  /** Session of the response; `null` if it has none. */
  readonly sid: string | null
}

/** Body of a response of a protected route. */
interface ProtectedBody {
  readonly userId: string
  readonly sessionId: string
  readonly content?: string
}

/** Bodies of uploads. A stream can be sent once only. */
const bodies: Readonly<Record<string, () => unknown>> = {
  string: () => CONTENT,
  buffer: () => Buffer.from(CONTENT),
  blob: () => new Blob([CONTENT]),
  stream: () => new Blob([CONTENT]).stream(),
  'stream of Node': () => Readable.from([Buffer.from(CONTENT)]),
  generator: async function* () {
    yield Buffer.from(CONTENT)
  }
}
const onceOnly = ['stream', 'stream of Node', 'generator']

/** Calls the protected route, and checks that the call settles in time. */
export function callProtected (schedule: Schedule, state: TabState): Promise<CallResult> {
  return call(schedule, state, '/protected', {}, false)
}

/** Uploads a body, and checks that the server gets all of it if it accepts the call. */
export function upload (schedule: Schedule, state: TabState, random: Random): Promise<CallResult> {
  const kind = random.pick(Object.keys(bodies))
  const isOnce = onceOnly.includes(kind)
  // The types of `fetch` lack async iterables, which Node accepts.
  const init = {
    method: 'POST',
    headers: { 'content-type': 'text/plain' },
    body: bodies[kind]?.(),
    duplex: 'half'
  } as RequestInit

  // The client sends a copy of a `Request`, whose body it can read again.
  return random.chance(0.3)
    ? call(schedule, state, new Request(`${ORIGIN}/upload`, init), {}, false)
    : call(schedule, state, '/upload', init, isOnce)
}

async function call (
  schedule: Schedule,
  state: TabState,
  target: string | Request,
  init: RequestInit,
  isOnce: boolean
): Promise<CallResult> {
  const { faults: { clock }, counts, calls, report } = schedule
  const { client, owner } = state
  const id = String(++counts.calls)
  const userId = getUserId(state)
  calls.set(id, { userId, isOnce, sends: 0 })
  const startedAt = clock.now()
  const { clocks } = owner
  const timeout = new AbortController()
  const done = new AbortController()
  void clock.sleep(CALL_TIMEOUT, done.signal).then(() => {
    timeout.abort()
  })

  try {
    const headers = new Headers(target instanceof Request ? target.headers : init.headers)
    headers.set(CALL_HEADER, id)
    const response = await client.fetch(target, { ...init, headers, signal: timeout.signal })
    const body = readBody(await response.text())
    checkResponse(schedule, state, userId, response, body)
    return { status: response.status, sid: body?.sessionId ?? null }
  } catch {
    return { status: 0, sid: null }
  } finally {
    done.abort()
    const duration = clock.now() - startedAt

    if (owner.clocks === clocks && duration > CALL_TIMEOUT + SECOND) {
      report('call', `call ${id} took ${duration} ms`)
    }
  }
}

function readBody (text: string): ProtectedBody | null {
  return text.startsWith('{"userId') ? JSON.parse(text) as ProtectedBody : null
}

/** The response must be for the user of the call, and a cache has nothing to do with it. */
function checkResponse (
  { report, setup }: Schedule,
  { tab }: TabState,
  userId: string | null,
  { headers }: Response,
  body: ProtectedBody | null
): void {
  if (body === null || headers.has('age')) {
    return
  }

  // Another tab may have replaced a cookie before it could notify this one.
  if (userId !== null && body.userId !== userId && !setup.usesAccessCookie) {
    report('token', `${tab.name} gets a response for ${body.userId} to a call of ${userId}`)
  }

  if (body.content !== undefined && body.content !== CONTENT) {
    report('call', `${tab.name} uploads "${body.content}", and the call succeeds`)
  }
}

/** Requests a token, and checks that it is one of the user, and has not expired. */
export async function getToken (schedule: Schedule, state: TabState): Promise<void> {
  const { faults: { clock }, report } = schedule
  const { client, tab } = state
  const token = await client.getAccessToken().catch(() => null)

  if (token === null || !tab.isAlive) {
    return
  }

  checkOwner(schedule, state, token)

  if (isKnownToHaveExpired(schedule, state, token)) {
    const age = clock.time() - decodeClaims(token).exp * 1000
    report('token', `${tab.name} returns a token that expired ${age} ms ago`)
  }
}

export async function login (
  schedule: Schedule,
  state: TabState,
  username: string
): Promise<void> {
  state.loginAt = schedule.nextPosition()
  state.requestedAt.push(schedule.faults.clock.now())

  if (state.logins++ === 0) {
    state.isRaced = false
  }

  const credentials = { username, password: PASSWORD, remember_me: true }
  const isSignedIn = await state.client.login(credentials).then(() => true, () => false)

  const { owner, arrivedSession } = state

  if (schedule.setup.mode === 'keychain') {
    // The keychain has saved the token.
    if (isSignedIn && arrivedSession !== null) {
      recordLogin(schedule, state, arrivedSession)
    }
  } else if (!isSignedIn && arrivedSession !== null && arrivedSession === owner.session) {
    // The browser has the cookie of a login whose body the client could not read.
    owner.isAmbiguous = true
  }

  state.arrivedSession = null
  state.logins--
}

/** Logs out, and checks that the tab is signed out immediately. */
export function logout (schedule: Schedule, state: TabState): Promise<void> {
  state.logouts++
  state.requestedAt.push(schedule.faults.clock.now())
  recordLogout(schedule, state.owner)
  state.logoutAt = state.owner.logoutAt
  const done = state.client.logout().catch(() => {}).finally(() => {
    state.logouts--
  })

  if (state.client.state.status !== 'signed-out') {
    schedule.report('logout', `${state.tab.name} is not signed out immediately`)
  }

  return done
}

export async function logoutEverywhere (schedule: Schedule, state: TabState): Promise<void> {
  const { owner } = state
  const { logoutAt: previous, isLogoutFinal } = owner
  state.logouts++
  recordLogout(schedule, owner)
  const { logoutAt } = owner
  await state.client.logoutEverywhere().then(() => {
    // A login that arrived meanwhile stays signed in. A pending login is void.
    if (owner.loginAt > logoutAt) {
      return
    }

    recordLogout(schedule, owner)
    state.logoutAt = owner.logoutAt
  }, () => {
    // The request may have reached the server. The store knows.
    if (owner.logoutAt === logoutAt) {
      Object.assign(owner, { logoutAt: previous, isLogoutFinal })
    }
  })
  state.logouts--
}
