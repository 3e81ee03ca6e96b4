import type { AuthState } from '../../../src/client/index.js'
import { SECOND } from '../../helpers/clock.js'
import { decodeClaims } from '../virtual-server.js'
import { canContinue, getAliveTabs, getStoredToken, hasPendingLogout } from './state.js'
import type { DeviceState, Schedule, TabState } from './state.js'

/** Records the arrival of a login on its device. */
export function recordLogin (schedule: Schedule, state: TabState, sid: string | null): void {
  const { owner, loginAt, isRaced } = state
  owner.session = sid
  owner.loginCalledAt = loginAt
  owner.loginAt = schedule.nextPosition()
  owner.loggedInAt = schedule.faults.clock.now()
  owner.isAmbiguous = isRaced
}

/**
 * Records a login whose response arrived, but cannot be read.
 *
 * The browser has saved its cookie nevertheless. The client cannot know the user of the cookie.
 */
export function recordUnreadLogin (schedule: Schedule, state: TabState): void {
  const { owner } = state
  const token = getStoredToken(schedule, owner)
  const sid = token === null ? null : decodeClaims(token).sid

  if (sid !== owner.session) {
    recordLogin(schedule, state, sid)
    owner.isAmbiguous = true
  }
}

/** Records a logout call on its device. */
export function recordLogout (schedule: Schedule, owner: DeviceState): void {
  owner.isLogoutFinal = getAliveTabs(owner).every(({ logins }) => logins === 0)
  owner.logoutAt = schedule.nextPosition()
}

/** Marks the tabs of a device as raced if several change the session without a working lock. */
export function recordRace (schedule: Schedule, state: TabState): void {
  const { owner } = state
  state.requestsInFlight++

  if (hasLock(schedule, owner)) {
    return
  }

  const tabs = getAliveTabs(owner)
  const active = tabs.filter(({ requestsInFlight, logins }) => requestsInFlight > 0 || logins > 0)

  if (active.length < 2 || tabs.every(({ logins }) => logins === 0)) {
    return
  }

  owner.isAmbiguous = true

  for (const tab of tabs) {
    tab.isRaced = true
  }
}

/** Whether tabs of a device log in and refresh one after the other. */
function hasLock ({ setup }: Schedule, { hasMissedLock }: DeviceState): boolean {
  return setup.locks === 'work' && !hasMissedLock
}

function isLoginRecent ({ faults: { clock } }: Schedule, { loggedInAt }: DeviceState): boolean {
  return clock.now() - loggedInAt < SECOND
}

/** Checks that a sign-out has a reason: a logout, or the end of the session in the store. */
export async function checkSignOut (
  schedule: Schedule,
  state: TabState,
  { reason }: AuthState
): Promise<void> {
  const { tab, owner } = state
  state.signedOutAt = schedule.nextPosition()
  settleKilledTabs(schedule)

  if (owner.isAmbiguous) {
    return
  }

  const { session, logoutAt, loginCalledAt, loginAt } = owner

  if (reason === 'logout' && logoutAt === 0) {
    schedule.report('sign-out', `${tab.name} is signed out without a logout`)
  }

  if (logoutAt > loginAt) {
    return
  }

  // A logout in another tab during the login: either message may arrive last.
  if (reason === 'logout' && logoutAt > loginCalledAt) {
    owner.isAmbiguous = true
    return
  }

  // Without a lock, a tab that starts reads the storage while another one changes it.
  if (reason === undefined && !hasLock(schedule, owner) && isLoginRecent(schedule, owner)) {
    return
  }

  if (await canContinue(schedule, owner)) {
    schedule.report(
      'sign-out',
      `${tab.name} is signed out (${reason}) of ${session}, which is alive`
    )
  }
}

/** Derives the state of a device from its storage after a crash during a login or logout. */
export function settleKilledTabs (schedule: Schedule): void {
  for (const owner of schedule.devices) {
    for (const state of owner.tabs) {
      if (state.tab.isAlive || (state.logins === 0 && state.logouts === 0)) {
        continue
      }

      const token = getStoredToken(schedule, owner)
      const sid = token === null ? null : decodeClaims(token).sid
      // A pending logout revokes the session at the next start. That also applies to the session of
      // a login whose cookie arrived after the logout was saved.
      const isLogoutLost = state.logouts > 0 && (state.logins > 0 || !hasPendingLogout(owner))

      if (state.logins > 0 && sid !== owner.session) {
        recordLogin(schedule, state, sid)
      }

      owner.isAmbiguous ||= isLogoutLost
      state.logins = state.logouts = 0
    }
  }
}
