import type { Action, Random } from '../../../src/testing/index.js'
import { DAY, HOUR, MINUTE } from '../../helpers/clock.js'
import { callProtected, getToken, login, logout, logoutEverywhere, upload } from './calls.js'
import { checkRecovery } from './recovery.js'
import { getAliveTabs, recordClocks } from './state.js'
import { failStorage } from './storage-faults.js'
import { endSubscriptions } from './subscriptions.js'
import type { DeviceState, Schedule, TabState } from './state.js'
import { openTab } from './tabs.js'

type Actions = Record<string, Action>

/** Creates the actions of a schedule, with their weights. */
export function createActions (schedule: Schedule): Actions {
  return {
    ...createUserActions(schedule),
    ...createTimeActions(schedule),
    ...createTabActions(schedule),
    ...createNetworkActions(schedule),
    ...createServerActions(schedule),
    calm: [0.7, async () => {
      await checkRecovery(schedule)
      schedule.faults.resume()
    }]
  }
}

/** Picks a device that is awake. Wakes one if all of them sleep. */
function pickDevice ({ devices }: Schedule, random: Random): DeviceState {
  const awake = devices.filter(({ device }) => !device.isAsleep)

  if (awake.length > 0) {
    return random.pick(awake)
  }

  const picked = random.pick(devices)
  picked.device.wake()
  return picked
}

function createUserActions (schedule: Schedule): Actions {
  const { faults: { clock } } = schedule

  /** Starts something in a tab without waiting for its result. */
  const inTab = (act: (state: TabState, random: Random) => unknown) =>
  async (
    random: Random
  ): Promise<void> => {
    const owner = pickDevice(schedule, random)
    const tabs = getAliveTabs(owner)
    const state = tabs.length === 0 ? openTab(schedule, owner) : random.pick(tabs)
    act(state, random)
    await clock.run(
      random.pickWeighted([[0, 2], [random.between(1, 100), 3], [random.between(100, 5000), 2]])
    )
  }

  const pickUser = (random: Random): string => random.pickWeighted([['ann', 3], ['bob', 1]])

  return {
    call: [
      22,
      inTab((state, random) => {
        for (let count = random.between(1, 3); count > 0; count--) {
          void callProtected(schedule, state)
        }
      })
    ],
    upload: [
      4,
      inTab((state, random) => {
        void upload(schedule, state, random)
      })
    ],
    token: [
      4,
      inTab(state => {
        void getToken(schedule, state)
      })
    ],
    login: [
      4,
      inTab((state, random) => {
        void login(schedule, state, pickUser(random))
      })
    ],
    // Without it, most calls would be made by signed-out clients.
    'login if out': [
      10,
      inTab((state, random) => {
        if (state.client.state.status === 'signed-out') {
          void login(schedule, state, pickUser(random))
        }
      })
    ],
    logout: [
      1.5,
      inTab(state => {
        void logout(schedule, state)
      })
    ],
    'logout everywhere': [
      0.5,
      inTab(state => {
        void logoutEverywhere(schedule, state)
      })
    ],
    'end the others': [
      0.5,
      inTab(({ client }) => {
        client.endOtherSessions().catch(() => {})
      })
    ]
  }
}

function createTimeActions (schedule: Schedule): Actions {
  const { faults: { clock } } = schedule

  /** Lets all devices sleep, without an event at the end. */
  function suspendAll (ms: number, isCounted: boolean): void {
    clock.suspend(ms, isCounted)
    schedule.devices.forEach(owner => {
      recordSleep(owner, isCounted)
    })
  }

  function recordSleep (owner: DeviceState, isCounted: boolean): void {
    recordClocks(owner, 'sleeps')

    if (!isCounted) {
      recordClocks(owner, 'uncounted')
    }
  }

  return {
    seconds: [10, random => clock.run(random.between(1, 20_000))],
    minutes: [14, random => clock.run(random.between(1, 20) * MINUTE)],
    hours: [3, random => {
      suspendAll(random.between(1, 12) * HOUR, random.chance(0.5))
    }],
    days: [1.5, random => {
      suspendAll(random.between(1, 8) * DAY, random.chance(0.5))
    }],
    // Only one device sleeps, and another one may go on.
    sleep: [4, async random => {
      const owner = pickDevice(schedule, random)
      const ms = random.between(1, 120) * MINUTE
      const isCounted = random.chance(0.3)
      recordSleep(owner, isCounted)
      owner.device.suspend(ms, isCounted)
      await clock.run(random.chance(0.5) ? ms : random.between(1, ms))
    }],
    wake: [3, random => {
      pickDevice(schedule, random).device.wake()
    }],
    'wrong date': [2, random => {
      const ms = random.pick([-DAY, -HOUR, -MINUTE, MINUTE, HOUR, DAY])

      if (random.chance(0.3)) {
        clock.shiftDate(ms)
        schedule.devices.forEach(owner => {
          recordClocks(owner, 'dateShifts')
        })
        return
      }

      const owner = pickDevice(schedule, random)
      owner.device.shiftDate(ms)
      recordClocks(owner, 'dateShifts')
    }]
  }
}

function createTabActions (schedule: Schedule): Actions {
  return {
    kill: [3, random => {
      const tabs = getAliveTabs(pickDevice(schedule, random))

      if (tabs.length > 0) {
        random.pick(tabs).tab.kill()
      }
    }],
    open: [6, random => {
      const owner = pickDevice(schedule, random)

      if (getAliveTabs(owner).length < schedule.setup.tabs) {
        openTab(schedule, owner, random.chance(0.05))
      }
    }],
    close: [1, random => {
      const tabs = getAliveTabs(pickDevice(schedule, random))
      const idle = tabs.filter(({ logins, logouts }) => logins === 0 && logouts === 0)

      if (idle.length > 0) {
        const state = random.pick(idle)
        endSubscriptions(state)
        state.client.dispose()
        state.tab.kill()
      }
    }],
    'bad storage': [2, random => {
      failStorage(pickDevice(schedule, random), schedule, random)
    }]
  }
}

function createNetworkActions ({ faults }: Schedule): Actions {
  return {
    offline: [3, () => {
      faults.goOffline()
    }],
    online: [6, () => {
      faults.goOnline()
    }],
    'bad refresh': [3, random => {
      const kind = random.pick(
        ['drop', 'kill', '429', '503', 'hang', 'delay', 'duplicate', 'odd', 'portal'] as const
      )
      faults.next(kind, '/refresh', random.between(1, 3))
    }],
    'bad logout': [1, random => {
      faults.next(random.pick(['drop', 'unsent', '503', 'portal', 'odd']), '/logout')
    }],
    'bad login': [1, random => {
      faults.next(random.pick(['drop', 'kill', '503', 'duplicate', 'odd']), '/login')
    }],
    'bad call': [1, random => {
      faults.next(
        random.pick(['drop', 'kill', '503', 'reorder', 'delay', 'odd']),
        random.pick(['/protected', '/upload']),
        random.between(1, 3)
      )
    }],
    'bad cache': [2, random => {
      faults.next('cached', '/protected', random.between(1, 3))
    }]
  }
}

function createServerActions (schedule: Schedule): Actions {
  const { faults: { clock }, server, refreshTokens, replayedSessions } = schedule

  return {
    revoke: [0.5, random =>
      clock.hold(async () => {
        const { session } = pickDevice(schedule, random)

        if (session !== null) {
          await server.app.app.tokenAuth.revokeSession(session)
        }
      })],
    'revoke all': [0.3, () => clock.hold(() => server.app.app.tokenAuth.revokeUser('u-ann'))],
    attacker: [0.3, random =>
      clock.hold(async () => {
        const { session } = pickDevice(schedule, random)
        const tokens = session === null ? undefined : refreshTokens.get(session)

        if (session === null || tokens === undefined || tokens.length < 3) {
          return
        }

        replayedSessions.add(session)
        await server.app.refresh(tokens[0])
      })],
    restart: [0.1, () => clock.hold(() => server.restart())]
  }
}
