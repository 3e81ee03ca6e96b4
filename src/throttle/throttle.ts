// Guessing of passwords, kept slow. Attempts count by account and by address before anything is hashed; what turns out to be
// right, or could not be checked, is taken back. A device that is known counts by itself: no stranger keeps it out.

import type { DeviceTokens } from './device-tokens.js'
import { createHmac } from 'node:crypto'
import type { AttemptRule } from '../domain/attempt-rule.js'
import { getNetwork } from '../lib/ip-network.js'
import type { Caller } from '../domain/session.js'
import { TokenAuthError } from '../errors.js'
import type { AttemptStore } from '../stores/attempt-store.js'
import type { Events, Logger, TokenAuthEvents } from '../events.js'
import { InFlight } from './in-flight.js'
import type { Millis } from '../lib/time.js'

type Limit = TokenAuthEvents['login-throttled']['limit']

/** Who tries to log in. */
export interface LoginSubject {
  /** As it was typed. */
  readonly login: string
  /** `null` where there is no such user. */
  readonly userId: string | null
  readonly deviceToken: string | null
}

export interface ThrottleContext {
  readonly attempts: AttemptStore
  /** Counts refresh tokens that were never issued: in this process. */
  readonly invalidTokens: AttemptStore
  /** Makes keys of what must not be kept: names, addresses. */
  readonly key: Buffer
  readonly devices: DeviceTokens
  /** `null` where there is no such limit. */
  readonly account: AttemptRule | null
  readonly address: AttemptRule | null
  readonly events: Events
  readonly logger: Logger
  readonly clock: () => Millis
}

interface Count {
  readonly key: string
  readonly rule: AttemptRule
  readonly limit: Limit
}

/** */
export class Throttle {
  readonly #context: ThrottleContext
  readonly #inFlight = new InFlight()

  constructor (context: ThrottleContext) {
    this.#context = context
  }

  /**
   * Checks a password, unless too many were wrong before.
   *
   * @param check Rejects with AUTH_CREDENTIALS_REJECTED where it is wrong. Whatever else it rejects with does not count.
   * @throws TokenAuthError AUTH_TOO_MANY_ATTEMPTS; AUTH_STORE_UNAVAILABLE
   */
  async guard<T> (who: LoginSubject, by: Caller, check: () => Promise<T>): Promise<T> {
    const taken: Count[] = []

    let end = (): void => {}

    const ended = new Promise<void>(resolve => {
      end = resolve
    })

    try {
      for (const count of this.#countsOf(who, by)) {
        await this.#take(count, ended, who, by)
        taken.push(count)
      }

      const result = await check()
      await this.#forgive(taken)
      return result
    } catch (error) {
      if (!isRejection(error)) {
        await this.#release(taken)
      }

      throw error
    } finally {
      end()
    }
  }

  /** What a device is given with a login, to be known by at the next one. */
  deviceTokenFor (userId: string, presented: string | null): string {
    const { devices } = this.#context
    return devices.issue(userId, presented === null ? null : devices.read(presented, userId))
  }

  /**
   * Counts a refresh token that was never issued. It costs no hash, and is to cost no database either.
   * @throws TokenAuthError AUTH_TOO_MANY_ATTEMPTS
   */
  async countInvalidToken (by: Caller): Promise<void> {
    const { invalidTokens: forgeries, address: rule, clock } = this.#context

    if (rule === null || by.address === null) {
      return
    }

    const now = clock()
    const until = await forgeries.consume(getNetwork(by.address), now, rule)

    if (until !== null) {
      throw tooMany(until - now)
    }
  }

  /** Forgets what was wrong for a user, by id and by names, whose password is another one now. */
  async forget (userId: string, names: readonly string[]): Promise<void> {
    const { account: rule } = this.#context

    if (rule === null) {
      return
    }

    const keys = [
      this.#keyOf('user', userId),
      ...names.map(name => this.#keyOf('name', fold(name)))
    ]
    await this.#forgive(keys.map(key => ({ key, rule, limit: 'account' })))
  }

  // In one order for all: the address first, so that one which is stopped holds up nobody's account.
  #countsOf ({ login, userId, deviceToken }: LoginSubject, { address }: Caller): Count[] {
    const { devices, account, address: ofAddress } = this.#context
    const device = userId === null || deviceToken === null
      ? null
      : devices.read(deviceToken, userId)

    if (device !== null) {
      return account === null
        ? []
        : [{ key: this.#keyOf('device', device), rule: account, limit: 'device' }]
    }

    const counts: Count[] = []

    if (ofAddress !== null && address !== null) {
      counts.push({
        key: this.#keyOf('address', getNetwork(address)),
        rule: ofAddress,
        limit: 'address'
      })
    }

    if (account !== null) {
      // By the name, folded, and by the user's id, whatever names the app finds it by: who is not there is stopped under any
      // spelling, as who is there would be. Two counts in either case, so that both take as long.
      const name = fold(login)
      counts.push(
        { key: this.#keyOf('name', name), rule: account, limit: 'account' },
        {
          key: userId === null ? this.#keyOf('nobody', name) : this.#keyOf('user', userId),
          rule: account,
          limit: 'account'
        }
      )
    }

    return counts
  }

  async #take (
    { key, rule, limit }: Count,
    ended: Promise<void>,
    { userId }: LoginSubject,
    by: Caller
  ): Promise<void> {
    const { attempts, events, clock } = this.#context

    for (;;) {
      const now = clock()
      const [until, inTheWay] = await this.#inFlight.inTurn(key, async () => {
        const inTheWay = this.#inFlight.underWay(key)
        const until = await attempts.consume(key, now, rule)

        if (until === null) {
          this.#inFlight.add(key, ended)
        }

        return [until, inTheWay] as const
      })

      if (until === null) {
        return
      }

      // Who is being checked counts as wrong until it is known. Where that may be why, it is waited for.
      if (inTheWay.length === 0) {
        events.emit('login-throttled', { at: now, userId, limit, until, ...by })
        throw tooMany(until - now)
      }

      await Promise.all(inTheWay)
    }
  }

  async #release (counts: readonly Count[]): Promise<void> {
    await Promise.all(counts.map(({ key }) => this.#context.attempts.refund(key)))
  }

  // Whatever it is for has happened already: a count that stays is for the log, and harms nobody but by a wait.
  async #forgive (counts: readonly Count[]): Promise<void> {
    const { attempts, logger } = this.#context

    try {
      await Promise.all(
        counts.map(({ key, limit }) =>
          limit === 'address' ? attempts.refund(key) : attempts.reset(key)
        )
      )
    } catch {
      logger.warn({}, 'failed to reset login attempts')
    }
  }

  #keyOf (kind: string, text: string): string {
    return createHmac('sha256', this.#context.key).update(`${kind}:${text}`).digest('base64url')
  }
}

// What databases and people take for the same name: case, accents, width, spaces, and what is not seen.
function fold (login: string): string {
  return login.normalize('NFKD').replace(/[\p{M}\p{C}\s]/gu, '').toLowerCase()
}

function isRejection (error: unknown): boolean {
  return error instanceof TokenAuthError && error.code === 'AUTH_CREDENTIALS_REJECTED'
}

function tooMany (wait: Millis): TokenAuthError {
  return new TokenAuthError('AUTH_TOO_MANY_ATTEMPTS', {
    retryAfter: Math.max(1, Math.ceil(wait / 1000))
  })
}
