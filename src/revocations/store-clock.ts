import { TokenAuthError } from '../errors.js'
import { HOUR, SECOND } from '../lib/time.js'
import type { Millis } from '../lib/time.js'

/** The two clocks of an instance, in milliseconds. */
export interface InstanceClocks {
  /** Time since 1970. May jump and may be wrong. */
  readonly wall: () => Millis
  /** Time since any moment. Never jumps. */
  readonly monotonic: () => Millis
}

/** The clocks of the operating system. */
export const SYSTEM_CLOCKS: InstanceClocks = {
  wall: () => Date.now(), // tests replace Date.now after this module is loaded
  monotonic: () => performance.now()
}

/** Moments of one read of the database's clock. The instance's moments are monotonic. */
export interface ClockSample {
  readonly sentAt: Millis
  readonly receivedAt: Millis
  /** Time of the database's clock at some moment between the two. */
  readonly now: Millis
}

/** Deviation of a clock that a sample has proved. */
export interface ClockSkew {
  /** `store`: the database's clock has stepped. `instance`: the wall clock here is wrong. */
  readonly source: 'store' | 'instance'
  /**
   * Milliseconds by which the clock is ahead: of its earlier time for `store`, of store time for
   * `instance`. Negative if it is behind.
   */
  readonly ahead: Millis
}

/** Bounds of the difference between store time and the monotonic clock. */
interface Bounds {
  readonly low: Millis
  readonly high: Millis
  /** Monotonic moment of the sample. */
  readonly at: Millis
}

const MAX_SAMPLES = 16
/** Clocks drift apart by at most this part of a second per second. */
const MAX_DRIFT = 0.0001
const MIN_REPORTED_SKEW: Millis = SECOND
/** Time after a step of the database's clock in which nothing is deleted. */
const SWEEP_PAUSE: Millis = HOUR

/** Store time: the only clock by which sessions and tokens are judged. */
export interface StoreTime {
  /**
   * Returns store time in whole milliseconds. Never runs backwards within a process.
   *
   * @throws TokenAuthError `AUTH_STORE_UNAVAILABLE` before the first response of the store.
   */
  now(): Millis
  /** Returns a moment for a {@link ClockSample}, and for durations. */
  monotonic(): Millis
  /** Whether the store has responded once. */
  readonly isKnown: boolean
  /** Store time minus the wall clock of this instance. `null` if it is not known. */
  readonly offset: Millis | null
  /** Whether records may be deleted: the time is known, and has not stepped within an hour. */
  readonly allowsSweep: boolean
  /** Refines the estimate by one response of the database. */
  addSample(sample: ClockSample): void
}

/** Creates store time from a clock of the app, for tests and for apps with one instance. */
export function createFixedStoreTime (clock: () => Millis, monotonic = clock): StoreTime {
  return {
    now: clock,
    monotonic,
    isKnown: true,
    offset: 0,
    allowsSweep: true,
    addSample: () => {}
  }
}

/**
 * Creates the clock by which sessions and tokens are judged.
 *
 * @param clock - Clock of the app, or the two clocks of the instance.
 * @param isSingle - Whether there is a single instance, which needs no other clock than its own.
 */
export function createStoreTime (
  clock: (() => Millis) | InstanceClocks | null,
  isSingle: boolean,
  onSkew: (skew: ClockSkew) => void
): StoreTime {
  if (typeof clock === 'function') {
    return createFixedStoreTime(clock)
  }

  const clocks = clock ?? SYSTEM_CLOCKS

  return isSingle
    ? createFixedStoreTime(() => clocks.wall(), () => clocks.monotonic())
    : new StoreClock(clocks, onSkew)
}

/**
 * Estimates the clock of the database.
 *
 * Every response of the database proves an interval for the difference between its clock and the
 * monotonic clock of the instance. The estimate is the middle of the intersection of the last 16
 * intervals. An interval that does not overlap the others proves that the database's clock has
 * stepped.
 *
 * Store time never runs backwards within a process. It follows a step ahead immediately. After a
 * step back, it runs at half speed until the database has caught up.
 */
export class StoreClock implements StoreTime {
  readonly #clocks: InstanceClocks
  readonly #onSkew: (skew: ClockSkew) => void
  #samples: Bounds[] = []
  #offset: Millis | null = null
  /** Latest result of {@link now}. */
  #latest: Millis = -Infinity
  /** Monotonic moment of the latest result. */
  #latestAt: Millis = 0
  #steppedAt = -Infinity
  #isInstanceWrong = false

  /** @param onSkew - Called when a sample proves that a clock is wrong, once for each deviation. */
  constructor (clocks: InstanceClocks, onSkew: (skew: ClockSkew) => void) {
    this.#clocks = clocks
    this.#onSkew = onSkew
  }

  now (): Millis {
    if (this.#offset === null) {
      throw new TokenAuthError('AUTH_STORE_UNAVAILABLE', {
        cause: new Error(
          'the store has not responded yet; in scripts and tests, call "await app.ready()" first'
        )
      })
    }

    const at = this.#clocks.monotonic()
    const estimate = at + this.#offset
    const atHalfSpeed = this.#latest + (at - this.#latestAt) / 2

    if (estimate < atHalfSpeed) {
      return Math.floor(atHalfSpeed)
    }

    this.#latest = estimate
    this.#latestAt = at
    return Math.floor(estimate)
  }

  monotonic (): Millis {
    return this.#clocks.monotonic()
  }

  get isKnown (): boolean {
    return this.#offset !== null
  }

  get offset (): Millis | null {
    const { wall, monotonic } = this.#clocks
    return this.#offset === null ? null : Math.round(monotonic() + this.#offset - wall())
  }

  get allowsSweep (): boolean {
    return this.isKnown && this.#clocks.monotonic() - this.#steppedAt >= SWEEP_PAUSE
  }

  addSample ({ sentAt, receivedAt, now }: ClockSample): void {
    // The database cuts its time to whole milliseconds.
    const bounds = { low: now - receivedAt, high: now + 1 - sentAt, at: receivedAt }
    const samples = [...this.#samples, bounds].slice(-MAX_SAMPLES)
    const common = intersect(samples, receivedAt)

    if (common === null) {
      this.#followStep(bounds)
    } else {
      this.#samples = samples
      this.#setOffset((common.low + common.high) / 2)
    }

    this.#compareWall()
  }

  #followStep (bounds: Bounds): void {
    const before = this.#offset as Millis
    this.#samples = [bounds]
    this.#setOffset((bounds.low + bounds.high) / 2)
    const ahead = Math.round(this.#offset as Millis - before)

    // A smaller difference is a slow correction of the clock.
    if (Math.abs(ahead) > MIN_REPORTED_SKEW) {
      this.#steppedAt = bounds.at
      this.#onSkew({ source: 'store', ahead })
    }
  }

  // Fixes the current time first, so that `now` continues from there at half speed.
  #setOffset (offset: Millis): void {
    if (this.#offset !== null) {
      const at = this.#clocks.monotonic()
      const atHalfSpeed = this.#latest + (at - this.#latestAt) / 2
      this.#latest = Math.max(at + this.#offset, atHalfSpeed)
      this.#latestAt = at
    }

    this.#offset = offset
  }

  #compareWall (): void {
    const { wall, monotonic } = this.#clocks
    const ahead = Math.round(wall() - monotonic() - (this.#offset as Millis))
    const isWrong = Math.abs(ahead) > MIN_REPORTED_SKEW

    if (isWrong && !this.#isInstanceWrong) {
      this.#onSkew({ source: 'instance', ahead })
    }

    this.#isInstanceWrong = isWrong
  }
}

/** Returns the bounds that all samples allow, or `null` if two of them contradict each other. */
function intersect (
  samples: readonly Bounds[],
  now: Millis
): { readonly low: Millis, readonly high: Millis } | null {
  let low = -Infinity
  let high = Infinity

  for (const sample of samples) {
    const drift = (now - sample.at) * MAX_DRIFT
    low = Math.max(low, sample.low - drift)
    high = Math.min(high, sample.high + drift)
  }

  return low > high ? null : { low, high }
}
