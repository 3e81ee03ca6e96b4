import { MINUTE, SECOND } from '../../helpers/clock.js'
import { callProtected, logout } from './calls.js'
import { settleKilledTabs } from './sign-outs.js'
import { canContinue, getAliveTabs } from './state.js'
import type { DeviceState, Schedule, TabState } from './state.js'
import { openTab } from './tabs.js'

/** The longest delay of a client is 30 s plus 25 % jitter. `Retry-After` is at most 30 s here. */
const RECOVERY_TIME = 40 * SECOND

/**
 * Checks a network without faults.
 *
 * Clients with a session get responses, clients without one have no token, and idle clients send no
 * requests.
 */
export async function checkRecovery (schedule: Schedule): Promise<void> {
  const { faults, setup, devices, counts, report } = schedule
  const { clock } = faults

  for (const { device } of devices) {
    device.storageFault = null

    if (device.isAsleep) {
      device.wake()
    }
  }

  faults.heal()
  await clock.run(RECOVERY_TIME)
  settleKilledTabs(schedule)

  for (const owner of devices) {
    // Without channels, a signed-out tab does not notice another logout. A new tab completes it.
    const isNewTabNeeded = !setup.channels && owner.logoutAt > owner.loginAt

    if (getAliveTabs(owner).length === 0 || isNewTabNeeded) {
      await clock.until(openTab(schedule, owner).client.ready)
    }

    await clock.run(5 * SECOND)

    for (const state of getAliveTabs(owner)) {
      await checkCalls(schedule, state)
    }

    if (owner.logoutAt > owner.loginAt && owner.isLogoutFinal && !owner.isAmbiguous) {
      await checkSignedOut(schedule, owner)
    }
  }

  await clock.run(RECOVERY_TIME)
  const before = counts.requests
  await clock.run(MINUTE)

  if (counts.requests !== before) {
    report('rate', `idle clients sent ${counts.requests - before} requests in a minute`)
  }
}

/** Checks that calls of a tab succeed within a minute if its session is alive. */
async function checkCalls (schedule: Schedule, state: TabState): Promise<void> {
  const { faults: { clock }, setup, report } = schedule
  const { owner, tab, client } = state
  const until = clock.now() + MINUTE

  for (;;) {
    const { status, sid } = await clock.until(callProtected(schedule, state))
    const isLoggedOut = owner.logoutAt > owner.loginAt

    if (owner.isAmbiguous || isLoggedOut || !await canContinue(schedule, owner)) {
      return
    }

    // Without channels, a signed-out tab does not notice a login in another tab.
    if (!setup.channels && state.signedOutAt > 0 && state.signedOutAt < owner.loginAt) {
      return
    }

    if (status === 200 && sid === owner.session) {
      break
    }

    if (clock.now() >= until) {
      report(
        'sign-out',
        `${tab.name} (${client.state.status}) gets ${status} for ${sid}, ` +
          `but ${owner.session} is alive`
      )
      return
    }

    await clock.run(SECOND)
  }

  if (client.state.status !== 'signed-in') {
    report('state', `${tab.name} gets responses, but is ${client.state.status}`)
  }
}

/** Checks that nothing of a session is left after a logout. */
async function checkSignedOut (schedule: Schedule, owner: DeviceState): Promise<void> {
  const { faults: { clock }, report } = schedule

  for (const { client, tab } of getAliveTabs(owner)) {
    if (client.state.status !== 'signed-out') {
      report('logout', `${tab.name} is ${client.state.status} after a logout`)
    }

    const token = await clock.until(client.getAccessToken().catch(() => null))

    if (token !== null) {
      report('logout', `${tab.name} has a token after a logout`)
    }
  }

  const { stored, flags, cookies } = owner.device

  if (stored !== null) {
    report('logout', 'a token is stored after a logout')
  }

  if (flags.size > 0) {
    report('logout', `flags are left after a logout: ${JSON.stringify([...flags])}`)
  }

  const names = [...cookies.entries().keys()].filter(name => /refresh|access/.test(name))

  if (names.length > 0) {
    report('logout', `cookies are left after a logout: ${names.join()}`)
  }

  if (await canContinue(schedule, owner)) {
    report('logout', `${owner.session} is alive after a logout`)
  }
}

/** Recovers, logs out on all devices, and checks that nothing of their sessions is left. */
export async function finishSchedule (schedule: Schedule): Promise<void> {
  const { faults: { clock }, setup, devices } = schedule
  await checkRecovery(schedule)

  for (const owner of devices) {
    const tabs = getAliveTabs(owner)
    const state = tabs.find(({ client }) => client.state.status === 'signed-in') ?? tabs[0]

    if (state === undefined) {
      continue
    }

    await clock.until(logout(schedule, state))

    // Another session may have been overwritten. The device no longer has its token.
    if (owner.isAmbiguous) {
      owner.session = null
    }

    await clock.run(SECOND)

    // Tabs without channels, or with another session after a race, notice the logout at a call.
    if (!setup.channels || owner.isAmbiguous) {
      for (const tab of getAliveTabs(owner)) {
        await clock.until(callProtected(schedule, tab))
      }
    }

    await checkSignedOut(schedule, owner)
  }
}
