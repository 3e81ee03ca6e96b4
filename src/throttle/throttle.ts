import { createHmac } from 'node:crypto'
import type { AttemptRule } from '../domain/attempt-rule.js'
import type { Caller } from '../domain/session.js'
import { TokenAuthError } from '../errors.js'
import type { Events, Logger, TokenAuthEvents } from '../events.js'
import { getNetwork } from '../lib/ip-network.js'
import { SECOND } from '../lib/time.js'
import type { Millis } from '../lib/time.js'
import type { AttemptStore, BlockedKey, CountedKey } from '../stores/attempt-store.js'
import type { DeviceTokens } from './device-tokens.js'
import { InFlight } from './in-flight.js'

type Limit = TokenAuthEvents['login-throttled']['limit']

/** Account and device of a login attempt. */
export interface LoginSubject {
  /** User name or email as typed. */
  readonly login: string
  /** `null` if the user does not exist. */
  readonly userId: string | null
  /** Stored password hash; `null` if there is none. */
  readonly passwordHash: string | null
  readonly deviceToken: string | null
}

/** Dependencies and settings of a {@link Throttle}. */
export interface ThrottleContext {
  readonly attempts: AttemptStore
  /** Counts refresh tokens that were never issued. In memory, so that they cost no database. */
  readonly invalidTokens: AttemptStore
  /** Key of the hashes under which names and addresses are counted. */
  readonly key: Buffer
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
}

/**
 * Decides whether a login may be tried.
 *
 * Attempts count by account and by network before a password is hashed. Only wrong passwords stay
 * counted. A known device has its own counter, so an attacker cannot lock it out.
 */
export class Throttle {
  readonly #context: ThrottleContext
  readonly #inFlight = new InFlight()

  constructor (context: ThrottleContext) {
    this.#context = context
  }

  /**
   * Runs a password check, unless too many attempts failed before.
   *
   * @param check - Rejects with `AUTH_CREDENTIALS_REJECTED` if the password is wrong. Other errors
   * do not count as a failed attempt.
   * @throws TokenAuthError `AUTH_TOO_MANY_ATTEMPTS`, `AUTH_STORE_UNAVAILABLE`
   */
  async guard<T> (subject: LoginSubject, by: Caller, check: () => Promise<T>): Promise<T> {
    const counters = this.#getCounters(subject, by)

    if (counters.length === 0) {
      return check()
    }

    const finish = await this.#consume(counters, subject, by)

    try {
      const result = await check()
      await this.#clear(counters)
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
   * @param passwordHash - Hash that is stored after the login. The token ends with it.
   * @param subject - The login. A known device keeps its ID.
   */
  issueDeviceToken (userId: string, passwordHash: string, subject: LoginSubject): string {
    return this.#context.devices.issue({ userId, passwordHash }, this.#readDevice(subject))
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
      throw tooManyAttempts(blocked.until - now)
    }
  }

  /** Resets the failed attempts of a user whose password has changed. */
  async forget (userId: string, names: readonly string[]): Promise<void> {
    if (this.#context.account === null) {
      return
    }

    const keys = [
      this.#hashKey('user', userId),
      ...names.map(name => this.#hashKey('name', normalizeLogin(name)))
    ]
    await this.#clear(keys.map(key => ({ key, limit: 'account' })))
  }

  #readDevice ({ userId, passwordHash, deviceToken }: LoginSubject): string | null {
    return userId === null || passwordHash === null || deviceToken === null
      ? null
      : this.#context.devices.read(deviceToken, { userId, passwordHash })
  }

  /** The address comes first, so that a blocked address does not count against any account. */
  #getCounters (subject: LoginSubject, by: Caller): Counter[] {
    const { account, address } = this.#context
    const { login, userId } = subject
    const deviceId = this.#readDevice(subject)

    if (deviceId !== null) {
      return account === null
        ? []
        : [{ key: this.#hashKey('device', deviceId), rule: account, limit: 'device' }]
    }

    const counters: Counter[] = []

    if (address !== null && by.address !== null) {
      const key = this.#hashKey('address', getNetwork(by.address))
      counters.push({ key, rule: address, limit: 'address' })
    }

    if (account !== null) {
      // The app may find a user by several names, so the ID counts too. An unknown user also has
      // two counters. Otherwise the response time would show whether the user exists.
      const name = normalizeLogin(login)
      const user = userId === null
        ? this.#hashKey('nobody', name)
        : this.#hashKey('user', userId)
      counters.push(
        { key: this.#hashKey('name', name), rule: account, limit: 'account' },
        { key: user, rule: account, limit: 'account' }
      )
    }

    return counters
  }

  // Counts all counters or none. A running attempt counts as failed until its result is known, and
  // may be refunded. So an attempt that is blocked beside running ones waits for them.
  async #consume (
    counters: readonly Counter[],
    { userId }: LoginSubject,
    by: Caller
  ): Promise<() => void> {
    const { attempts, events, clock } = this.#context
    const keys = counters.map(({ key }) => key)

    for (;;) {
      const running = new Map(keys.map(key => [key, this.#inFlight.getRunning(key)]))
      const attempt = this.#inFlight.track(keys)
      const now = clock()
      let blocked: BlockedKey | null

      try {
        blocked = await attempts.consume(counters, now)
      } catch (error) {
        attempt.settle('not-counted')
        throw error
      }

      if (blocked === null) {
        return () => {
          attempt.settle('counted')
        }
      }

      attempt.settle('not-counted')
      const { key, until } = blocked
      const results = await Promise.all(running.get(key) ?? [])

      if (!results.includes('counted')) {
        const limit = (counters.find(counter => counter.key === key) as Counter).limit
        events.emit('login-throttled', { at: now, userId, limit, until, ...by })
        throw tooManyAttempts(until - now)
      }
    }
  }

  async #refund (counters: readonly Counter[]): Promise<void> {
    await this.#context.attempts.refund(counters.map(({ key }) => key))
  }

  async #clear (counters: ReadonlyArray<Pick<Counter, 'key' | 'limit'>>): Promise<void> {
    const { attempts, logger } = this.#context

    try {
      const addresses = counters.filter(({ limit }) => limit === 'address').map(({ key }) => key)
      const others = counters.filter(({ limit }) => limit !== 'address').map(({ key }) => key)
      await Promise.all([
        addresses.length > 0 && attempts.refund(addresses),
        others.length > 0 && attempts.reset(others)
      ])
    } catch {
      // The login has already succeeded. A remaining count only delays a later one.
      logger.warn({}, 'failed to reset login attempts')
    }
  }

  #hashKey (kind: string, value: string): string {
    return createHmac('sha256', this.#context.key).update(`${kind}:${value}`).digest('base64url')
  }
}

/** Removes what databases and people may ignore: case, accents, width, spaces, invisible signs. */
function normalizeLogin (login: string): string {
  return login.normalize('NFKD').replace(/[\p{M}\p{C}\s]/gu, '').toLowerCase()
}

function isRejection (error: unknown): boolean {
  return error instanceof TokenAuthError && error.code === 'AUTH_CREDENTIALS_REJECTED'
}

function tooManyAttempts (wait: Millis): TokenAuthError {
  return new TokenAuthError('AUTH_TOO_MANY_ATTEMPTS', {
    retryAfter: Math.max(1, Math.ceil(wait / SECOND))
  })
}
