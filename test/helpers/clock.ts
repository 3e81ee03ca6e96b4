import type { Millis } from '../../src/lib/time.js'

/** Clock that changes only when a test calls `advance` or `set`. */
export interface TestClock {
  (): Millis
  advance(by: Millis): void
  set(to: Millis): void
}

export const SECOND: Millis = 1000
export const MINUTE: Millis = 60 * SECOND
export const HOUR: Millis = 60 * MINUTE
export const DAY: Millis = 24 * HOUR

export function createClock (start: Millis = Date.UTC(2026, 0, 1)): TestClock {
  let now = start
  const clock = (): Millis => now

  return Object.assign(clock, {
    advance (by: Millis) {
      now += by
    },
    set (to: Millis) {
      now = to
    }
  })
}
