import type { Action, Random } from '../../../src/testing/index.js'
import { DAY, HOUR, MINUTE } from '../../helpers/clock.js'
import { callProtected, login, logout, logoutEverywhere } from './calls.js'
import { checkRecovery } from './recovery.js'
import { getAliveTabs } from './state.js'
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

function pickDevice ({ devices }: Schedule, random: Random): DeviceState {
  return random.pick(devices)
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
    token: [
      2,
      inTab(({ client }) => {
        client.getAccessToken().catch(() => {})
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

  function suspend (ms: number, isCounted: boolean): void {
    clock.suspend(ms, isCounted)

    if (!isCounted) {
      schedule.uncountedSleep += ms
    }
  }

  return {
    seconds: [10, random => clock.run(random.between(1, 20_000))],
    minutes: [14, random => clock.run(random.between(1, 20) * MINUTE)],
    hours: [4, random => {
      suspend(random.between(1, 12) * HOUR, random.chance(0.7))
    }],
    days: [1.5, random => {
      suspend(random.between(1, 8) * DAY, random.chance(0.7))
    }],
    'wrong date': [2, random => {
      clock.shiftDate(random.pick([-DAY, -HOUR, -MINUTE, MINUTE, HOUR, DAY]))
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
        openTab(schedule, owner)
      }
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
        ['drop', 'kill', '429', '503', 'hang', 'delay', 'duplicate'] as const
      )
      faults.next(kind, '/refresh', random.between(1, 3))
    }],
    'bad logout': [1, random => {
      faults.next(random.pick(['drop', 'unsent', '503', 'portal']), '/logout')
    }],
    'bad login': [1, random => {
      faults.next(random.pick(['drop', 'kill', '503', 'duplicate']), '/login')
    }],
    'bad call': [1, random => {
      faults.next(
        random.pick(['drop', 'kill', '503', 'reorder', 'delay']),
        '/protected',
        random.between(1, 3)
      )
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
