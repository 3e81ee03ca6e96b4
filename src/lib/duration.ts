import { DAY, HOUR, MINUTE, SECOND } from './time.js'
import type { Millis } from './time.js'

/**
 * Length of time: a number of seconds, or a string of a number and a unit.
 *
 * The units are `ms`, `s`, `m`, `h`, `d` and `w`. The number may have decimals. At most 100 years.
 *
 * @example
 * ```ts
 * accessToken: { lifetime: '15m' } // the same as 900
 * ```
 */
export type Duration = number | string

const UNITS: Readonly<Record<string, Millis>> = {
  ms: 1,
  s: SECOND,
  m: MINUTE,
  h: HOUR,
  d: DAY,
  w: 7 * DAY
}

// 100 years
const MAX_DURATION: Millis = 36_525 * DAY

/**
 * Converts a duration to milliseconds.
 *
 * @returns Whole milliseconds; `null` if the value is malformed or longer than 100 years.
 */
export function parseDuration (duration: unknown): Millis | null {
  const string = typeof duration === 'number' ? `${duration}s` : duration

  if (typeof string !== 'string') {
    return null
  }

  const [, amount, unit] = /^(\d+(?:\.\d+)?) ?(ms|s|m|h|d|w)$/.exec(string) ?? []

  if (amount === undefined || unit === undefined) {
    return null
  }

  const millis = Math.round(Number(amount) * (UNITS[unit] as Millis))
  return millis <= MAX_DURATION ? millis : null
}
