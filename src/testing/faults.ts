import type { Platform } from '../client/platform.js'
import { createClock } from './clock.js'
import type { Clock } from './clock.js'
import { createDevice } from './device.js'
import type { Device, Tab } from './device.js'
import { formatEntry } from './log.js'
import type { LogEntry } from './log.js'
import { createNetwork } from './network.js'
import { defaultRates } from './plan.js'
import type { FaultKind } from './fault-kind.js'
import type { FaultRates, Interceptor } from './plan.js'
import { createRandom } from './random.js'
import type { Random } from './random.js'

/** Options of {@link createFaults}. */
export interface FaultsOptions {
  /**
   * Integer that decides all random faults. The same seed and the same calls cause the same faults.
   *
   * @default 1
   */
  readonly seed?: number
  /**
   * Probabilities of random faults; `{}` for none. Higher values find rare bugs earlier but slow
   * down each schedule.
   *
   * @default {@link defaultRates}: one request in six meets a fault of any kind
   * @example
   * ```ts
   * rates: { drop: 0.1, kill: 0.01 }
   * ```
   */
  readonly rates?: FaultRates
  /**
   * Decides whether a request may meet a random fault.
   *
   * @default all requests may
   * @example
   * ```ts
   * only: (method, url) => url.includes('/auth/')
   * ```
   */
  readonly only?: (method: string, url: string) => boolean
  /**
   * Range of the time that a request and its response take together, in milliseconds.
   *
   * @default [4, 60]
   * @example
   * ```ts
   * latency: [200, 800] // a slow mobile network
   * ```
   */
  readonly latency?: readonly [from: number, to: number]
  /**
   * Maximum extra time of a delayed request in milliseconds.
   *
   * Use a value below `refreshToken.grace` of the server. The server treats a refresh token that
   * arrives later as stolen, and revokes the session.
   *
   * @default 4000
   */
  readonly longestDelay?: number
  /**
   * Date at the start in milliseconds since 1970.
   *
   * @default 2026-01-01T00:00Z
   */
  readonly start?: number
}

/**
 * Action of a schedule, with its weight relative to the other actions.
 *
 * The result is awaited. Time passes only through {@link Faults.clock}.
 */
export type Action = readonly [weight: number, act: (random: Random) => unknown]

/** Faults of a test: time, random numbers, a network and devices, all controlled by one seed. */
export interface Faults {
  /** Seed of all random decisions. */
  readonly seed: number
  /** Clock that all devices share. */
  readonly clock: Clock
  /** Random numbers of the seed, for decisions of the test. */
  readonly random: Random
  /** `wrap` of a tab on a device of its own. The first use creates both. */
  readonly wrap: (send: typeof fetch) => typeof fetch
  /** `platform` of the same tab. */
  readonly platform: Platform
  /** Creates a device, which shares nothing with other devices. */
  device(): Device
  /**
   * Plans a fault for the next requests, even if no random faults happen.
   *
   * @param path - End of the path of their URLs. Defaults to any path.
   * @param count - Number of requests. Defaults to 1; `Infinity` means until {@link Faults.heal}.
   */
  next(fault: FaultKind | Interceptor, path?: string, count?: number): void
  /** Disconnects the network until {@link Faults.goOnline}. Requests in flight are lost. */
  goOffline(): void
  /** Connects the network. Tabs of devices that are awake get an event. */
  goOnline(): void
  /**
   * Connects the network, like {@link Faults.goOnline}, and stops random faults until
   * {@link Faults.resume}.
   *
   * Also cancels planned faults. Faults of requests in flight continue.
   */
  heal(): void
  /** Allows random faults again. */
  resume(): void
  /**
   * Performs one random action.
   *
   * @returns The name of the action.
   * @throws TypeError if there are no actions
   */
  step(actions: Readonly<Record<string, Action>>): Promise<string>
  /**
   * Performs random actions, and reports the seed and the recent events if one of them fails.
   *
   * @param check - Called after each step. Throws if an expectation is violated.
   * @throws ScheduleError
   */
  schedule(
    actions: Readonly<Record<string, Action>>,
    steps: number,
    check?: () => unknown
  ): Promise<void>
  /** Events so far. */
  readonly log: readonly LogEntry[]
}

/** Error of a failed step. The message contains the seed and the recent events; see `cause`. */
export class ScheduleError extends Error {
  /** Name of the class, for checks without `instanceof`. */
  override readonly name = 'ScheduleError'
  /** Seed that repeats the schedule. */
  readonly seed: number
  /** Step of the schedule that failed. */
  readonly step: number

  constructor (seed: number, step: number, log: readonly LogEntry[], cause: unknown) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    const replay = `seed ${seed}, step ${step}; replay it with createFaults({ seed: ${seed} })`
    super([reason, replay, ...log.map(formatEntry)].join('\n'), { cause })
    this.seed = seed
    this.step = step
  }
}

/** Number of log entries in the message of a {@link ScheduleError}. */
const REPORTED_ENTRIES = 30

/**
 * Creates reproducible faults for a test of a client.
 *
 * @example
 * ```ts
 * import { createAuthClient } from 'fastify-token-auth/client'
 * import { createFaults } from 'fastify-token-auth/testing'
 *
 * const faults = createFaults({ seed: 7 })
 * const client = createAuthClient({
 *   baseUrl: 'http://127.0.0.1:3000',
 *   storage: 'memory',
 *   fetch: faults.wrap(fetch),
 *   platform: faults.platform
 * })
 * await faults.clock.until(client.login({ username: 'ann', password: 'correct horse' }))
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
  let stepCount = 0
  let tabCount = 0
  const devices: Device[] = []
  let firstTab: Tab | undefined

  const addEntry = (entry: Omit<LogEntry, 'at' | 'step'>): void => {
    log.push({ at: clock.now(), step: stepCount, ...entry })
  }

  const network = createNetwork(clock, random.fork(), {
    rates,
    latency,
    longestDelay,
    isExposed: only
  }, addEntry)
  const deviceRandom = random.fork()

  function device (): Device {
    const created = createDevice(
      clock,
      deviceRandom.fork(),
      network,
      `device ${devices.length + 1}`,
      () => `tab ${++tabCount}`,
      (event, source) => {
        addEntry({ event, source })
      }
    )
    devices.push(created)
    return created
  }

  const getFirstTab = (): Tab => (firstTab ??= device().open())

  function setOnline (isOnline: boolean): void {
    if (network.isOnline === isOnline) {
      return
    }

    network.isOnline = isOnline
    addEntry({ event: isOnline ? 'online' : 'offline', source: 'network' })

    if (isOnline) {
      for (const device of devices) {
        // A device that sleeps notices it at the end of its sleep.
        if (!device.isAsleep) {
          device.wake()
        }
      }
    }
  }

  async function step (actions: Readonly<Record<string, Action>>): Promise<string> {
    const name = random.pickWeighted(
      Object.entries(actions).map(([name, [weight]]) => [name, weight] as const)
    )
    stepCount++
    addEntry({ event: 'action', source: name })
    await actions[name]?.[1](random)
    return name
  }

  return {
    seed,
    clock,
    random,
    wrap: send => getFirstTab().wrap(send),
    get platform () {
      return getFirstTab().platform
    },
    device,
    next (fault, path = '', count = 1) {
      network.planned.push({ fault, path, remaining: count })
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
      network.planned.length = 0
      addEntry({ event: 'healed', source: 'network' })
    },
    resume () {
      network.isFaulty = true
    },
    step,
    async schedule (actions, steps, check) {
      for (let i = 0; i < steps; i++) {
        try {
          await step(actions)
          await check?.()
        } catch (error) {
          throw new ScheduleError(seed, stepCount, log.slice(-REPORTED_ENTRIES), error)
        }
      }
    },
    log
  }
}
