import type { Duration } from '../lib/duration.js'
import { MAX_TIMER, SECOND } from '../lib/time.js'
import type { StoreDown } from '../stores/startup.js'
import { assert, duration, oneOf } from './validate.js'
import type { Resolved, Shape } from './validate.js'

/** Time that a startup takes after the last check of the store. */
const STARTUP_TIME = 10 * SECOND

/** Options for the startup of the app. */
export interface StartupOptions {
  /**
   * Reaction to a store that does not respond when the app starts.
   *
   * `'fail'` fails the startup after at most 4 s, for apps that are restarted by a supervisor.
   * `'wait'` tries again until `maxWait`, and then fails. `'serve'` starts the app without the
   * store: protected routes and the routes of the plugin respond with 503 until it is available.
   *
   * A store that responds and lacks something, such as a table, always fails the startup.
   *
   * @default 'fail'
   */
  readonly storeDown?: StoreDown

  /**
   * Time after which `'wait'` fails the startup. At least 1 s.
   *
   * Fastify limits the time of a startup, so set its option `pluginTimeout` to at least 10 s more.
   *
   * @default '1m'
   * @example
   * ```ts
   * const app = Fastify({ pluginTimeout: 70_000 })
   * await app.register(tokenAuth, { startup: { storeDown: 'wait', maxWait: '1m' }, ...options })
   * ```
   */
  readonly maxWait?: Duration
}

/** Checks of {@link StartupOptions}. */
export const startupShape = {
  storeDown: oneOf(['fail', 'wait', 'serve'], 'fail'),
  maxWait: duration({ min: SECOND, max: MAX_TIMER - STARTUP_TIME, fallback: '1m' })
} satisfies Shape<StartupOptions>

/**
 * Checks that Fastify does not cancel a startup before `maxWait`.
 *
 * @param pluginTimeout - Timeout of Fastify; 0 for none.
 * @throws TypeError if it is too short.
 */
export function assertPluginTimeout (
  { storeDown, maxWait }: Resolved<typeof startupShape>,
  pluginTimeout: number
): void {
  assert(
    storeDown !== 'wait' || pluginTimeout === 0 || pluginTimeout >= maxWait + STARTUP_TIME,
    '"startup.storeDown" requires a "pluginTimeout" of Fastify that is at least 10s longer than ' +
      `"startup.maxWait"; create the app with Fastify({ pluginTimeout: ${maxWait + STARTUP_TIME} })`
  )
}
