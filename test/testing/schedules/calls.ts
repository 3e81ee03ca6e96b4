import { PASSWORD } from '../../helpers/app.js'
import { SECOND } from '../../helpers/clock.js'
import { recordLogin, recordLogout } from './sign-outs.js'
import type { Schedule, TabState } from './state.js'

const CALL_TIMEOUT = 30 * SECOND

export interface CallResult {
  /** Status of the response; 0 if the call was rejected. */
  readonly status: number
  /** Session of the response; `null` if it has none. */
  readonly sid: string | null
}

/** Calls the protected route, and checks that the call settles in time. */
export async function callProtected (
  { faults: { clock }, counts, violations }: Schedule,
  { client }: TabState
): Promise<CallResult> {
  const id = ++counts.calls
  const startedAt = clock.now()
  const sleptBefore = clock.slept()
  const timeout = new AbortController()
  const done = new AbortController()
  void clock.sleep(CALL_TIMEOUT, done.signal).then(() => {
    timeout.abort()
  })

  try {
    const response = await client.fetch(`/protected?call=${id}`, { signal: timeout.signal })
    const body = await response.text()

    return {
      status: response.status,
      sid: body.startsWith('{"userId')
        ? (JSON.parse(body) as { sessionId: string }).sessionId
        : null
    }
  } catch {
    return { status: 0, sid: null }
  } finally {
    done.abort()
    const duration = clock.now() - startedAt

    if (clock.slept() === sleptBefore && duration > CALL_TIMEOUT + SECOND) {
      violations.push(`call ${id} took ${duration} ms`)
    }
  }
}

export async function login (
  schedule: Schedule,
  state: TabState,
  username: string
): Promise<void> {
  state.loginAt = schedule.nextPosition()

  if (state.logins++ === 0) {
    state.isRaced = false
  }

  const credentials = { username, password: PASSWORD, remember_me: true }
  const isSignedIn = await state.client.login(credentials).then(() => true, () => false)

  if (isSignedIn && state.unsavedSession !== null) {
    recordLogin(schedule, state, state.unsavedSession)
  }

  state.unsavedSession = null
  state.logins--
}

/** Logs out, and checks that the tab is signed out immediately. */
export function logout (schedule: Schedule, state: TabState): Promise<void> {
  state.logouts++
  recordLogout(schedule, state.owner)
  state.logoutAt = state.owner.logoutAt
  const done = state.client.logout().catch(() => {}).finally(() => {
    state.logouts--
  })

  if (state.client.state.status !== 'signed-out') {
    schedule.violations.push(`${state.tab.name} is not signed out immediately`)
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
