import { setTimeout as sleep } from 'node:timers/promises'
import { TokenAuthError } from '../errors.js'
import type { Logger } from '../events.js'
import { SECOND } from '../lib/time.js'
import type { Millis } from '../lib/time.js'
import { describeError, SafeError } from '../lib/safe-error.js'
import { StoreSetupError } from './token-store.js'

/**
 * Timeout of a check. Fastify cancels a startup after 10 s, and the feed may need 5 s.
 *
 * Independent of `storeTimeout`, because a check reads the catalog of the database once, often over
 * a new connection.
 */
const CHECK_TIMEOUT: Millis = 4 * SECOND
const MIN_PAUSE: Millis = SECOND / 10
const MAX_PAUSE: Millis = 2 * SECOND
const STORE = 'the store'

/** Store of either kind. */
export interface CheckableStore {
  check(): Promise<readonly string[]>
}

/** Reaction to a store that does not respond at startup. */
export type StoreDown = 'fail' | 'wait' | 'serve'

/** Settings and collaborators of a {@link StoreStartup}. */
export interface StoreStartupContext {
  readonly stores: readonly CheckableStore[]
  /** Starts what reads the store. Repeated after a failure. */
  readonly start: () => Promise<void>
  readonly storeDown: StoreDown
  /** Time after which `'wait'` fails. */
  readonly maxWait: Millis
  /** Timeout of a check. 4 s by default. */
  readonly checkTimeout?: Millis
  /** Name of the registration, for the log. */
  readonly name: string
  /** Service to wait for, as the log names it. `the store` by default. */
  readonly subject?: string
  readonly logger: Logger
}

/**
 * Checks the stores of a registration, and then starts what reads them.
 *
 * A store that lacks something, such as a table, fails the startup. For a store that does not
 * respond, `storeDown` decides: the startup fails, the app waits, or it starts without the store.
 */
export class StoreStartup {
  readonly #context: StoreStartupContext
  readonly #stopping = new AbortController()
  #isReady = false

  constructor (context: StoreStartupContext) {
    this.#context = context
  }

  /** Whether the stores have responded, and what reads them has started. */
  get isReady (): boolean {
    return this.#isReady
  }

  /**
   * Resolves when the app may serve requests.
   *
   * @throws StoreSetupError if a store lacks something.
   * @throws Error if a store does not respond, unless `storeDown` is `'serve'`.
   */
  async run (): Promise<void> {
    const { storeDown, maxWait, name, subject = STORE, logger } = this.#context
    const deadline = performance.now() + maxWait

    try {
      await this.#attempt()
      return
    } catch (error) {
      if (storeDown === 'fail' || !isOutage(error)) {
        throw error
      }

      const message = storeDown === 'wait'
        ? `${subject} is not available, waiting for it`
        : `${subject} is not available, requests get 503 until it is`
      logger.warn({ registration: name, cause: describeCause(error) }, message)
    }

    if (storeDown === 'wait') {
      await this.#retry(deadline)
    } else {
      void this.#retry(Infinity)
    }
  }

  /** Stops waiting for a store. */
  stop (): void {
    this.#stopping.abort()
  }

  async #retry (deadline: Millis): Promise<void> {
    const { name, subject = STORE, logger } = this.#context

    for (let pause = MIN_PAUSE;; pause = Math.min(2 * pause, MAX_PAUSE)) {
      // While the app waits, nothing else keeps the process alive.
      await this.#sleep(pause * (1 + Math.random()) / 2, deadline !== Infinity)

      if (this.#stopping.signal.aborted) {
        return
      }

      try {
        await this.#attempt()
        logger.info({ registration: name }, `${subject} is available`)
        return
      } catch (error) {
        if (deadline === Infinity) {
          this.#logLateFailure(error)
        } else if (!isOutage(error) || performance.now() > deadline) {
          throw error
        }
      }
    }
  }

  async #attempt (): Promise<void> {
    const { stores, start, checkTimeout, name, logger } = this.#context

    for (const warning of await checkStores(stores, checkTimeout)) {
      logger.warn({ registration: name }, warning)
    }

    await start()
    this.#isReady = true
  }

  // The app is ready already, so the error cannot fail the startup.
  #logLateFailure (error: unknown): void {
    const { name, logger } = this.#context

    if (error instanceof StoreSetupError) {
      logger.error({ registration: name, cause: error.message }, 'the store cannot be used')
    } else if (!isOutage(error)) {
      logger.error(
        { registration: name, cause: describeError(error, false) },
        'the startup has failed'
      )
    }
  }

  async #sleep (duration: Millis, ref: boolean): Promise<void> {
    const { signal } = this.#stopping
    await sleep(duration, undefined, { signal, ref }).catch(() => {})
  }
}

/** Thrown if a store does not respond at startup. */
class StoreUnavailableError extends Error {
  override readonly name = 'StoreUnavailableError'

  constructor (cause: unknown) {
    super(
      'fastify-token-auth: the store does not respond at startup' +
        `${describeCause(cause) === '' ? '' : ` (${describeCause(cause)})`}; start the database, ` +
        'check the address and the credentials, or set "startup.storeDown"',
      { cause }
    )
  }
}

/**
 * Checks stores concurrently.
 *
 * @returns Their warnings, each once.
 * @throws StoreSetupError if a store lacks something.
 * @throws Error if a store does not respond.
 */
export async function checkStores (
  stores: readonly CheckableStore[],
  timeout: Millis = CHECK_TIMEOUT
): Promise<readonly string[]> {
  const warnings = await Promise.all(stores.map(store => checkInTime(store, timeout)))
  return [...new Set(warnings.flat())]
}

async function checkInTime (store: CheckableStore, timeout: Millis): Promise<readonly string[]> {
  const done = new AbortController()
  const failure = sleep(timeout, undefined, { signal: done.signal }).then(
    () => {
      throw new SafeError(`no response within ${timeout} ms`)
    },
    () => []
  )

  try {
    return await Promise.race([store.check(), failure])
  } catch (error) {
    throw error instanceof StoreSetupError ? error : new StoreUnavailableError(error)
  } finally {
    done.abort()
  }
}

function isOutage (error: unknown): boolean {
  return error instanceof StoreUnavailableError ||
    (error instanceof TokenAuthError && error.code === 'AUTH_STORE_UNAVAILABLE')
}

/** Describes an error without the message of a driver, which may contain data of the app. */
function describeCause (error: unknown): string {
  const { cause = error } = (error ?? {}) as { cause?: unknown }
  const { type, code, message } = describeError(cause, false)

  return cause instanceof SafeError
    ? String(message)
    : [type, code].filter(part => part !== undefined).join(' ')
}
