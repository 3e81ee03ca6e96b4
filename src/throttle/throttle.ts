import { createHmac } from 'node:crypto'
import type { AttemptRule } from '../domain/attempt-rule.js'
import type { Caller } from '../domain/session.js'
import { assertConnected, TokenAuthError } from '../errors.js'
import type { Events, Logger, TokenAuthEvents } from '../events.js'
import { getNetwork } from '../lib/ip-network.js'
import { SECOND } from '../lib/time.js'
import type { Millis } from '../lib/time.js'
import type { AttemptStore, BlockedKey, CountedKey } from '../stores/attempt-store.js'
import type { DeviceTokens, KnownDevice } from './device-tokens.js'
import { InFlight } from './in-flight.js'
import { foldLogin } from './login-names.js'

type Limit = TokenAuthEvents['login-throttled']['limit']

/** Account and device of a login attempt. */
export interface LoginSubject {
  /** User name or email as typed; or all names of a user whom an access token identifies. */
  readonly login: string | readonly string[]
  /** `null` if the user does not exist. */
  readonly userId: string | null
  /** Stored password hash; `null` if there is none. */
  readonly passwordHash: string | null
  readonly deviceToken: string | null
  /** Aborted when the client disconnects. An attempt that was not counted yet is then given up. */
  readonly signal?: AbortSignal
}

/** User and device of a login. */
export type DeviceSubject = Pick<LoginSubject, 'userId' | 'passwordHash' | 'deviceToken'>

/** Dependencies and settings of a {@link Throttle}. */
export interface ThrottleContext {
  readonly attempts: AttemptStore
  /** Counts refresh tokens that were never issued. In memory, so that they cost no database. */
  readonly invalidTokens: AttemptStore
  /** Keys of the hashes under which names and addresses are counted, the current one first. */
  readonly keys: readonly [Buffer, ...Buffer[]]
  readonly devices: DeviceTokens
  /** Limit per account and per known device; `null` for none. */
  readonly account: AttemptRule | null
  /** Limit per network; `null` for none. */
  readonly address: AttemptRule | null
  readonly events: Events
  readonly logger: Logger
  readonly clock: () => Millis
}

interface Counter extends CountedKey {
  readonly limit: Limit
  /**
   * Whether the response must not show that this counter blocks. It counts by user ID, but the
   * client sent a name.
   */
  readonly isHidden: boolean
}

/** Attempt that was counted. */
interface CountedAttempt {
  readonly counters: readonly Counter[]
  /** Whether attempts with another name block the user. The response must not show it. */
  readonly isHidden: boolean
  /** Tells blocked attempts that this one has its final result. */
  finish(): void
}

/** Result of counting an attempt once. */
interface CountResult {
  /** Key that blocks the attempt; `null` if all its keys were counted. */
  readonly blocked: BlockedKey | null
  /** Tells blocked attempts that a counted attempt has its final result. */
  readonly finish: () => void
}

/**
 * Decides whether a login may be tried.
 *
 * Attempts count by account and by network before a password is hashed. Only wrong passwords stay
 * counted. A known device has its own counter, so an attacker cannot lock it out. All known devices
 * of a user share one more counter, so old device tokens permit no additional guesses.
 */
export class Throttle {
  readonly #context: ThrottleContext
  readonly #inFlight = new InFlight()

  constructor (context: ThrottleContext) {
    this.#context = context
  }

  /** Whether the user has logged in on this device before. */
  isKnownDevice (subject: LoginSubject): boolean {
    return this.#readDevice(subject) !== null
  }

  /** Whether the user has passed a second factor on this device before. */
  isTrustedDevice (subject: DeviceSubject): boolean {
    return this.#readDevice(subject)?.isTrusted === true
  }

  /**
   * Runs a password check, unless too many attempts failed before.
   *
   * @param check - Rejects with `AUTH_CREDENTIALS_REJECTED` if the password is wrong. Other errors
   * do not count as a failed attempt. With `isHidden`, the user has to wait, but the name that was
   * typed does not. The check must then reject like that of an unknown user.
   * @throws TokenAuthError `AUTH_TOO_MANY_ATTEMPTS`, `AUTH_STORE_UNAVAILABLE`, or
   * `AUTH_REQUEST_INVALID` if the client has disconnected before the attempt was counted.
   */
  async guard<T> (
    subject: LoginSubject,
    by: Caller,
    check: (isHidden: boolean) => Promise<T>
  ): Promise<T> {
    const { counters, isHidden, finish } = await this.#count(subject, by)

    try {
      const result = await check(isHidden)
      await this.#reset(counters)
      return result
    } catch (error) {
      if (!isRejection(error)) {
        await this.#refund(counters)
      }

      throw error
    } finally {
      finish()
    }
  }

  /**
   * Returns the device token of a successful login.
   *
   * @param passwordHash - Hash that is stored after the login. The token is valid until it changes.
   * @param subject - The login. A known device keeps its ID.
   * @param isTrusted - Whether the login included a second factor.
   */
  issueDeviceToken (
    userId: string,
    passwordHash: string,
    subject: DeviceSubject,
    isTrusted = false
  ): string {
    const known = this.#readDevice(subject)
    return this.#context.devices.issue({ userId, passwordHash }, known, isTrusted)
  }

  /**
   * Counts a refresh token that was never issued.
   *
   * @throws TokenAuthError `AUTH_TOO_MANY_ATTEMPTS`
   */
  async countInvalidToken (by: Caller): Promise<void> {
    const { invalidTokens, address: rule, clock } = this.#context

    if (rule === null || by.address === null) {
      return
    }

    const now = clock()
    const blocked = await invalidTokens.consume([{ key: getNetwork(by.address), rule }], now)

    if (blocked !== null) {
      throw createTooManyAttemptsError(blocked.until - now)
    }
  }

  /** Resets the failed attempts of a user whose password has changed. */
  async resetUser (userId: string, names: readonly string[]): Promise<void> {
    if (this.#context.account === null) {
      return
    }

    const keys = [
      ...this.#hashKeys('user', userId),
      ...this.#hashKeys('devices', userId),
      ...names.flatMap(name => this.#hashKeys('name', foldLogin(name)))
    ]
    await this.#reset(keys.map(key => ({ key, limit: 'account' })))
  }

  #readDevice (
    { userId, passwordHash, deviceToken }: DeviceSubject
  ): KnownDevice | null {
    return userId === null || passwordHash === null || deviceToken === null
      ? null
      : this.#context.devices.read(deviceToken, { userId, passwordHash })
  }

  async #count (subject: LoginSubject, by: Caller): Promise<CountedAttempt> {
    const device = this.#readDevice(subject)

    if (device !== null) {
      const counters = this.#getDeviceCounters(device.id, subject.userId as string)
      const finish = await this.#consume(counters, subject, by)
      return { counters, isHidden: false, finish }
    }

    const counters = this.#getCounters(subject, by)

    try {
      const finish = await this.#consume(counters, subject, by)
      return { counters, isHidden: false, finish }
    } catch (error) {
      if (!(error instanceof HiddenLimitError)) {
        throw error
      }
    }

    // The user is blocked by attempts with another name. A 429 would show that both names belong to
    // one user. So the attempt counts and gets a response like one with the name of no user.
    const visible = counters.filter(({ isHidden }) => !isHidden)
    const finish = await this.#consume(visible, subject, by)
    return { counters: visible, isHidden: true, finish }
  }

  #getDeviceCounters (deviceId: string, userId: string): Counter[] {
    const { account } = this.#context

    return account === null
      ? []
      : [
        ...this.#createCounters('device', deviceId, account, 'device'),
        ...this.#createCounters('devices', userId, account, 'device')
      ]
  }

  /** The address comes first, so that a blocked address does not count against any account. */
  #getCounters ({ login, userId }: LoginSubject, by: Caller): Counter[] {
    const { account, address } = this.#context
    const counters: Counter[] = []

    if (address !== null && by.address !== null) {
      counters.push(
        ...this.#createCounters('address', getNetwork(by.address), address, 'address')
      )
    }

    if (account !== null) {
      // The app may find a user by several names, so the ID counts too. An unknown user also has
      // two counters. Otherwise the response time would show whether the user exists.
      const isTyped = typeof login === 'string'
      const names = new Set((isTyped ? [login] : login).map(foldLogin))
      const user = userId === null
        ? [...names].flatMap(name => this.#createCounters('nobody', name, account, 'account'))
        : this.#createCounters('user', userId, account, 'account')
      counters.push(
        ...[...names].flatMap(name => this.#createCounters('name', name, account, 'account')),
        ...user.map(counter => ({ ...counter, isHidden: userId !== null && isTyped }))
      )
    }

    return counters
  }

  #createCounters (kind: string, value: string, rule: AttemptRule, limit: Limit): Counter[] {
    return this.#hashKeys(kind, value).map(key => ({ key, rule, limit, isHidden: false }))
  }

  // Counts all counters or none. A running attempt counts as failed until its result is known, and
  // may be refunded. So an attempt that is blocked beside running ones waits for them.
  async #consume (
    counters: readonly Counter[],
    { userId, signal }: LoginSubject,
    by: Caller
  ): Promise<() => void> {
    const keys = counters.map(({ key }) => key)

    if (keys.length === 0) {
      return () => {}
    }

    for (;;) {
      assertConnected(signal)
      const running = new Map(keys.map(key => [key, this.#inFlight.getRunning(key)]))
      const now = this.#context.clock()
      const { blocked, finish } = await this.#tryConsume(counters, now)

      if (blocked === null) {
        return finish
      }

      if (await running.get(blocked.key)?.waitForCounted() !== true) {
        const { key, until } = blocked
        const { limit, isHidden } = counters.find(counter => counter.key === key) as Counter
        this.#context.events.emit('login-throttled', { at: now, userId, limit, until, ...by })
        throw isHidden ? new HiddenLimitError() : createTooManyAttemptsError(until - now)
      }
    }
  }

  /** Counts an attempt once. Others can wait for it until it is blocked or calls `finish`. */
  async #tryConsume (counters: readonly Counter[], now: Millis): Promise<CountResult> {
    const attempt = this.#inFlight.track(counters.map(({ key }) => key))
    let blocked: BlockedKey | null

    try {
      blocked = await this.#context.attempts.consume(counters, now)
    } catch (error) {
      attempt.settle('not-counted')
      throw error
    }

    if (blocked !== null) {
      attempt.settle('not-counted')
    }

    return {
      blocked,
      finish: () => {
        attempt.settle('counted')
      }
    }
  }

  async #refund (counters: readonly Counter[]): Promise<void> {
    if (counters.length > 0) {
      await this.#context.attempts.refund(counters.map(({ key }) => key))
    }
  }

  async #reset (counters: ReadonlyArray<Pick<Counter, 'key' | 'limit'>>): Promise<void> {
    const { attempts, logger } = this.#context

    try {
      const addresses = counters.filter(({ limit }) => limit === 'address').map(({ key }) => key)
      const others = counters.filter(({ limit }) => limit !== 'address').map(({ key }) => key)

      if (counters.length > 0) {
        await attempts.reset(others, addresses)
      }
    } catch {
      // The login has already succeeded. A remaining count only delays a later one.
      logger.warn({}, 'failed to reset login attempts')
    }
  }

  /**
   * Returns the key of a counter, one for each key of the hash.
   *
   * While secrets rotate, an attempt counts under the key of each secret. So counts survive the
   * rotation, and instances whose lists have one secret in common share them.
   */
  #hashKeys (kind: string, value: string): string[] {
    return this.#context.keys.map(key =>
      createHmac('sha256', key).update(`${kind}:${value}`).digest('base64url')
    )
  }
}

/** Thrown if a counter blocks an attempt and the response must not show it. */
class HiddenLimitError extends Error {
  override readonly name = 'HiddenLimitError'
}

function isRejection (error: unknown): boolean {
  return error instanceof TokenAuthError && error.code === 'AUTH_CREDENTIALS_REJECTED'
}

/**
 * Creates the error `AUTH_TOO_MANY_ATTEMPTS`.
 *
 * @param wait - Time until the next attempt is accepted. `Retry-After` is at least 1 s.
 */
export function createTooManyAttemptsError (wait: Millis): TokenAuthError {
  return new TokenAuthError('AUTH_TOO_MANY_ATTEMPTS', {
    retryAfter: Math.max(1, Math.ceil(wait / SECOND))
  })
}
