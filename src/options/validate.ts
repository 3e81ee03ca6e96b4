import { parseDuration } from '../lib/duration.js'
import type { Duration } from '../lib/duration.js'
import { DAY, HOUR, MINUTE, SECOND } from '../lib/time.js'
import type { Millis } from '../lib/time.js'
import { createTypeError } from '../lib/type-error.js'

/**
 * Checks one option and returns its value, or the default if the option is missing.
 *
 * `path` is the name of the option in errors. `isSet` is `true` if the app sets the option, even
 * to `undefined`.
 */
export type Check<Value> = (value: unknown, path: string, isSet: boolean) => Value

/** One check per option of a group. The compiler rejects a missing and an unknown option. */
export type Shape<Group> = { readonly [Name in keyof Group]-?: Check<unknown> }

/** The values that the checks of a shape return. */
export type Resolved<S extends Checks> = { readonly [Name in keyof S]: ReturnType<S[Name]> }

type Checks = Readonly<Record<string, Check<unknown>>>

interface Limits {
  readonly min?: number
  readonly max?: number
}

/**
 * Checks every option of a group and adds the defaults.
 *
 * @param path - Name of the group in errors; empty for the top level.
 * @throws TypeError if an option is invalid or unknown.
 */
export function resolveShape<S extends Checks> (shape: S, given: unknown, path = ''): Resolved<S> {
  rejectUnknownKeys(given, shape, path)
  const entries = Object.entries(shape).map(([name, check]) => [
    name,
    check(given[name], join(path, name), Object.hasOwn(given, name))
  ])
  return Object.fromEntries(entries) as Resolved<S>
}

/** @throws TypeError if `given` is not an object, or has a key that `shape` does not have. */
export function rejectUnknownKeys (
  given: unknown,
  shape: object,
  path: string
): asserts given is Readonly<Record<string, unknown>> {
  assert(
    typeof given === 'object' && given !== null,
    `${path === '' ? 'options' : `"${path}"`} must be an object`
  )
  const unknown = Object.keys(given).find(name => !Object.hasOwn(shape, name))
  assert(
    unknown === undefined,
    `unknown option "${join(path, unknown ?? '')}"; valid options: ${Object.keys(shape).join(', ')}`
  )
}

/** Creates a check for a group of options. */
export function group<S extends Checks> (shape: S): Check<Resolved<S>> {
  return (value = {}, path) => resolveShape(shape, value, path)
}

/**
 * Creates a check for a group of options that `true` enables with its defaults.
 *
 * It returns `null` if the option is missing or `false`.
 */
export function groupOrBoolean<S extends Checks> (shape: S): Check<Resolved<S> | null> {
  return (value = false, path) =>
    value === false ? null : resolveShape(shape, value === true ? {} : value, path)
}

/** Creates a check that returns `null` if the option is missing. */
export function optional<Value> (check: Check<Value>): Check<Value | null> {
  return (value, path, isSet) => value === undefined ? null : check(value, path, isSet)
}

/** Creates a check that returns `null` if the option is `false`. */
export function unlessFalse<Value> (check: Check<Value>): Check<Value | null> {
  return (value, path, isSet) => value === false ? null : check(value, path, isSet)
}

/** Creates a check for `true` and `false`. */
export function boolean (fallback: boolean): Check<boolean> {
  return (value = fallback, path) => {
    assert(typeof value === 'boolean', `"${path}" must be true or false${describeValue(value)}`)
    return value
  }
}

/** Creates a check for one of a few values. */
export function oneOf<const Value extends string | false> (
  values: readonly Value[],
  fallback?: Value
): Check<Value> {
  const list = formatChoice(values)

  return (value = fallback, path) => {
    assert(values.includes(value as Value), `"${path}" must be ${list}${describeValue(value)}`)
    return value as Value
  }
}

/** Creates a check for an integer. */
export function integer (
  { min = 0, max = Infinity, fallback }: Limits & { readonly fallback?: number }
): Check<number> {
  const range = max === Infinity ? `of at least ${min}` : `from ${min} to ${max}`

  return (value = fallback, path) => {
    assert(
      Number.isSafeInteger(value) && isWithin(value as number, min, max),
      `"${path}" must be an integer ${range}${describeValue(value)}`
    )
    return value as number
  }
}

/** Creates a check for a duration, which returns milliseconds. */
export function duration (
  { min = 0, max = Infinity, fallback }: Limits & { readonly fallback?: Duration }
): Check<Millis> {
  const range = formatRange(min, max)

  return (value, path) => {
    const millis = parseDuration(value ?? fallback)
    assert(
      millis !== null,
      `"${path}" must be a number of seconds or a string such as "90s", "15m", "12h" or "7d", ` +
        `and at most 100 years${describeValue(value)}`
    )
    assert(isWithin(millis, min, max), `"${path}" must be ${range}${describeValue(value)}`)
    return millis
  }
}

/**
 * Creates a check for a function.
 *
 * @param purpose - Completes "must be a function that ...".
 */
export function callable<Callback> (purpose: string, fallback?: Callback): Check<Callback> {
  return (value = fallback, path) => {
    assert(isFunction(value), `"${path}" must be a function that ${purpose}`)
    return value as Callback
  }
}

/**
 * Creates a check for an object with methods, such as a store.
 *
 * @param type - Name of the interface, followed by an example.
 * @param describe - Describes how a wrong value differs, by the first method that it lacks.
 */
export function implementation<Interface> (
  methods: ReadonlyArray<keyof Interface & string>,
  type: string,
  describe?: (value: unknown, missing: string) => string
): Check<Interface> {
  return (value, path) => {
    const missing = methods.find(method => !hasMethod(value, method))

    if (missing !== undefined) {
      const difference = describe === undefined ? '' : `, but ${describe(value, missing)}`
      throw createTypeError(`"${path}" must be ${type}${difference}`)
    }

    return value as Interface
  }
}

/** Checks a string that must not be empty. */
export function resolveString (value: unknown, path: string): string {
  assert(typeof value === 'string' && value !== '', `"${path}" must be a non-empty string`)
  return value
}

/** Name of a registration that sets none. */
export const DEFAULT_NAME = 'auth'

/** Checks the `name` of a registration, which becomes a part of cookie names and challenges. */
export function resolveName (value: unknown = DEFAULT_NAME, path: string): string {
  assert(
    typeof value === 'string' && /^[A-Za-z][\w-]{0,63}$/.test(value),
    `"${path}" must be a letter, followed by at most 63 letters, digits, "-" and "_"` +
      describeValue(value)
  )
  return value
}

/** Checks the public base URL of an app. */
export function resolvePublicUrl (value: unknown, path: string): string {
  assert(
    isBaseUrl(value) && !value.endsWith('/'),
    `"${path}" must be an https URL without query, fragment and final "/", ` +
      'such as "https://example.org/api"; http works for localhost only'
  )
  return value
}

/**
 * Whether a value is an https URL that paths can be appended to. Accepts http for this machine.
 *
 * Rejects a query, a fragment and credentials.
 */
export function isBaseUrl (value: unknown): value is string {
  // A URL parser repairs malformed URLs, but other parties compare the original string.
  if (typeof value !== 'string' || !/^https?:\/\/[^/]/.test(value) || !URL.canParse(value)) {
    return false
  }

  const url = new URL(value)
  return isSecureUrl(url) && !hasCredentials(url) && !/[?#\\\s]/.test(value)
}

/** Whether nobody on the network can read or change a request to this URL. */
export function isSecureUrl (url: URL): boolean {
  return url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url))
}

/** Whether a URL contains a user name or a password. */
export function hasCredentials ({ username, password }: URL): boolean {
  return username !== '' || password !== ''
}

/** Whether a URL points to this machine. */
function isLoopback ({ hostname }: URL): boolean {
  return /^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname)
}

/** @throws TypeError with `message` if the condition is false. */
export function assert (
  condition: boolean,
  message: string,
  options?: ErrorOptions
): asserts condition {
  if (!condition) {
    throw createTypeError(message, options)
  }
}

function isFunction (value: unknown): boolean {
  return typeof value === 'function'
}

/** Whether a value is an object or function with a method. */
export function hasMethod (value: unknown, method: string): boolean {
  return value != null && isFunction((value as Record<string, unknown>)[method])
}

function isWithin (value: number, min: number, max: number): boolean {
  return value >= min && value <= max
}

function join (path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`
}

function formatChoice (values: readonly unknown[]): string {
  const [last, ...others] = values.map(value => JSON.stringify(value)).reverse()
  return others.length === 0 ? `${last}` : `${others.reverse().join(', ')} or ${last}`
}

function formatRange (min: Millis, max: Millis): string {
  if (max === Infinity) {
    return `at least ${formatDuration(min)}`
  }

  return min === 0
    ? `at most ${formatDuration(max)}`
    : `from ${formatDuration(min)} to ${formatDuration(max)}`
}

function formatDuration (millis: Millis): string {
  const units = [[DAY, 'd'], [HOUR, 'h'], [MINUTE, 'm'], [SECOND, 's'], [1, 'ms']] as const
  const [size, unit] = units.find(([size]) => millis >= size) ?? [1, 'ms']
  return `${Math.floor(millis / size)}${unit}`
}

// An object can contain a secret, and a string of 32 characters can be one.
function describeValue (value: unknown): string {
  if (typeof value === 'number') {
    return `, not ${value}`
  }

  const isShort = (typeof value === 'string' && value.length < 32) || value === null ||
    typeof value === 'boolean'
  return isShort ? `, not ${JSON.stringify(value)}` : ''
}
