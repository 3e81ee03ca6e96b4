// Spans of time as people write them.

import type { Millis } from './time.js'

/** A number of seconds, or a text such as `'500ms'`, `'10s'`, `'15m'`, `'12h'`, `'7d'`, `'2w'`. */
export type Duration = number | string

const units: Readonly<Record<string, Millis>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000
}

const CENTURY: Millis = 36_525 * 86_400_000

/** Whole milliseconds; `null` where it is no duration, or one of more than a century. */
export function parseDuration (duration: unknown): Millis | null {
  const text = typeof duration === 'number' ? `${duration}s` : duration

  if (typeof text !== 'string') {
    return null
  }

  const [, count, unit] = /^(\d+(?:\.\d+)?) ?(ms|s|m|h|d|w)$/.exec(text) ?? []

  if (count === undefined || unit === undefined) {
    return null
  }

  const millis = Math.round(Number(count) * (units[unit] as Millis))
  return millis <= CENTURY ? millis : null
}
