// What checking an option takes, and the words in which a wrong one is refused.

import { parseDuration } from '../lib/duration.js'
import type { Millis } from '../lib/time.js'

/** */
export function duration (option: string, value: unknown, byDefault: string): Millis {
  const millis = parseDuration(value ?? byDefault)
  assert(
    millis !== null,
    `${option} must be a number of seconds, or a text such as "90s", "15m", "12h" or "7d", and at most a century`
  )
  return millis
}

/** */
export function rejectUnknownKeys (given: object, names: readonly string[], path: string): void {
  assert(
    typeof given === 'object' && given !== null,
    `${path.slice(0, -1) || 'the options'} must be an object`
  )
  const unknown = Object.keys(given).find(name => !names.includes(name))
  assert(
    unknown === undefined,
    `${path}${unknown ?? ''} is no option; there are ${names.map(name => path + name).join(', ')}`
  )
}

/** */
export function isFunction (value: unknown): boolean {
  return typeof value === 'function'
}

/** @throws TypeError */
export function assert (holds: boolean, message: string): asserts holds {
  if (!holds) {
    throw new TypeError(`fastify-token-auth: ${message}`)
  }
}
