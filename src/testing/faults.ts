// The harness as an app gets it: time, chance, a network and devices that are as bad as it likes, all of one seed.

import type { Platform } from '../client/platform.js'
import { createClock } from './clock.js'
import type { Clock } from './clock.js'
import { createDevice } from './device.js'
import type { Device, Tab } from './device.js'
import { defaultRates } from './network.js'
import type { FaultKind, FaultRates, LogEntry } from './network.js'
import { createNetwork } from './network.js'
import { createRandom } from './random.js'
import type { Random } from './random.js'

export interface FaultsOptions {
  /** A whole number. The same one, and the same calls, bring the same faults. @default 1 */
  readonly seed?: number
  /** How often requests meet faults by chance; `{}` for never. @default one request in six meets one, of any kind */
  readonly rates?: FaultRates
  /** Which requests may meet a fault by chance. @default all */
  readonly only?: (method: string, url: string) => boolean
  /** How long a request and its answer take, together, in milliseconds. @default [4, 60] */
  readonly latency?: readonly [from: number, to: number]
  /**
   * How much longer a request may be under way, in milliseconds. Keep it below the server's `refreshToken.grace`: what comes
   * later than that is a thief's, as far as any server can tell.
   * @default 4000
   */
  readonly longestDelay?: number
  /** The date at the beginning, in milliseconds since 1970. @default 2026-01-01T00:00Z */
  readonly start?: number
}

/** How often it is drawn, in comparison with the others, and what it does. Gives nothing back; time passes by `clock` alone. */
export type Action = readonly [weight: number, act: (random: Random) => unknown]

export interface Faults {
  readonly seed: number
  readonly clock: Clock
  readonly random: Random
  /** Of the first tab of the first device; it is opened when one of the two is first asked for. */
  readonly wrap: (send: typeof fetch) => typeof fetch
  readonly platform: Platform
  /** Another device. Nothing is shared with the ones before. */
  device(): Device
  /**
   * The next requests meet this fault, also where there are none by chance.
   * @param path How the path of their URLs ends. @default any
   * @param count How many of them. @default 1
   */
  next(kind: FaultKind, path?: string, count?: number): void
  /** Until {@link goOnline}, nothing gets through, and answers that were under way are lost. */
  goOffline(): void
  goOnline(): void
  /** Online, and no more faults, until {@link resume}. What is under way goes on. */
  heal(): void
  resume(): void
  /** Draws one of the actions and waits for it. @returns Its name. */
  step(actions: Readonly<Record<string, Action>>): Promise<string>
  /**
   * Takes steps, and says with which seed, where and after what one went wrong.
   *
   * @param check Called after each step; throws where something is wrong.
   * @throws ScheduleError
   */
  schedule(
    actions: Readonly<Record<string, Action>>,
    steps: number,
    check?: () => unknown
  ): Promise<void>
  readonly log: readonly LogEntry[]
}

/** A step went wrong; `cause` says how. Its message holds the seed, and what happened last. */
export class ScheduleError extends Error {
  override readonly name = 'ScheduleError'
  readonly seed: number
  readonly step: number

  constructor (seed: number, step: number, log: readonly LogEntry[], cause: unknown) {
    const told = cause instanceof Error ? cause.message : String(cause)
    super(
      `${told}\nseed ${seed}, step ${step}; replay it with createFaults({ seed: ${seed} })\n${
        log.map(lineOf).join('\n')
      }`,
      { cause }
    )
    this.seed = seed
    this.step = step
  }
}

const SHOWN = 30

/**
 * Makes trouble, reproducibly.
 *
 * ```ts
 * const faults = createFaults({ seed: 7 })
 * const client = createAuthClient({ baseUrl, storage: 'memory', fetch: faults.wrap(fetch), platform: faults.platform })
 * await faults.clock.until(client.login(credentials))
 * await faults.schedule({
 *   call: [5, () => faults.clock.until(client.fetch('/orders').catch(() => {}))],
 *   wait: [3, random => faults.clock.run(random.between(1, 20) * 60_000)],
 *   offline: [1, () => { faults.goOffline() }],
 *   online: [2, () => { faults.goOnline() }]
 * }, 100, () => assert.equal(client.state.status, 'signed-in'))
 * ```
 */
export function createFaults ({
  seed = 1,
  rates = defaultRates,
  only = () => true,
  latency = [4, 60],
  longestDelay = 4000,
  start = Date.UTC(2026, 0, 1)
}: FaultsOptions = {}): Faults {
  const random = createRandom(seed)
  const clock = createClock(start)
  const log: LogEntry[] = []
  let steps = 0
  let tabs = 0
  let firstTab: Tab | undefined

  const note = (entry: Omit<LogEntry, 'at' | 'step'>): void => {
    log.push({ at: clock.now(), step: steps, ...entry })
  }

  const network = createNetwork(clock, random.fork(), {
    rates,
    latency,
    longestDelay,
    isExposed: only
  }, note)
  const chance = random.fork()

  const device = (): Device =>
    createDevice(
      clock,
      chance.fork(),
      network,
      () => `tab ${++tabs}`,
      name => {
        note({ what: 'killed', who: name })
      }
    )
  const first = (): Tab => (firstTab ??= device().open())

  function setOnline (isOnline: boolean): void {
    if (network.isOnline === isOnline) {
      return
    }

    network.isOnline = isOnline
    note({ what: isOnline ? 'online' : 'offline', who: 'network' })
  }

  async function step (actions: Readonly<Record<string, Action>>): Promise<string> {
    const name = random.weigh(
      Object.entries(actions).map(([name, [weight]]) => [name, weight] as const)
    )
    steps++
    note({ what: 'action', who: name })
    await actions[name]?.[1](random)
    return name
  }

  return {
    seed,
    clock,
    random,
    wrap: send => first().wrap(send),
    get platform () {
      return first().platform
    },
    device,
    next (kind, path = '', count = 1) {
      network.scripts.push({ kind, path, left: count })
    },
    goOffline () {
      setOnline(false)
    },
    goOnline () {
      setOnline(true)
    },
    heal () {
      setOnline(true)
      network.isFaulty = false
      network.scripts.length = 0
      note({ what: 'healed', who: 'network' })
    },
    resume () {
      network.isFaulty = true
    },
    step,
    async schedule (actions, count, check) {
      for (let i = 0; i < count; i++) {
        try {
          await step(actions)
          await check?.()
        } catch (error) {
          throw new ScheduleError(seed, steps, log.slice(-SHOWN), error)
        }
      }
    },
    log
  }
}

function lineOf ({ at, step, what, who, request, fault, status }: LogEntry): string {
  return [
    `${step}`,
    `${(at / 1000).toFixed(3)} s`,
    who,
    what,
    request,
    status,
    fault && `(${fault})`
  ]
    .filter(part => part !== undefined).join('  ')
}
