import { createHmac } from 'node:crypto'
import { createWindowRule } from '../domain/attempt-rule.js'
import type { AttemptRule } from '../domain/attempt-rule.js'
import type { Caller } from '../domain/session.js'
import { TokenAuthError } from '../errors.js'
import { getNetwork } from '../lib/ip-network.js'
import { DAY, HOUR, MINUTE, SECOND } from '../lib/time.js'
import type { Millis } from '../lib/time.js'
import type { ResolvedOptions } from '../options/resolve.js'
import type { ErrorCode } from '../protocol.js'
import type { AttemptStore, CountedKey } from '../stores/attempt-store.js'
import { foldLogin } from '../throttle/login-names.js'
import { createTooManyAttemptsError } from '../throttle/throttle.js'
import type { SigningKeys } from '../tokens/key-derivation.js'
import type { ResolvedAccount } from './options.js'

/** Guesses that one code accepts. */
const MAX_CODE_GUESSES = 5
const CODE_RETENTION: Millis = DAY

// Codes are short, so their guesses are limited even if logins are not throttled.
const DEFAULT_ACCOUNT_RULE: AttemptRule = {
  freeAttempts: 10,
  maxAttempts: 100,
  wait: SECOND,
  longestWait: HOUR,
  retention: DAY,
  sliding: true
}
const DEFAULT_ADDRESS_RULE = createWindowRule({ maxAttempts: 100, window: 15 * MINUTE })

/** Settings of {@link AccountLimits}. */
export interface AccountLimitsContext {
  readonly attempts: AttemptStore
  /** Keys of the hashes under which addresses are counted, the current one first. */
  readonly keys: SigningKeys
  readonly sendLimits: ResolvedAccount['sendLimits']
  readonly throttle: ResolvedOptions['throttle']
  readonly clock: () => Millis
}

/**
 * Account that a message or a guess counts for.
 *
 * All spellings of an address count together. Users with similar IDs count separately.
 */
export type CountedAccount =
  | {
    /** Address as typed. Anybody can type the ID of a user, so both kinds count separately. */
    readonly email: string
  }
  | {
    readonly userId: string
    /** Separates the guesses of different routes. */
    readonly use: 'verify-email' | 'reset-password' | 'second-factor' | 'confirm-totp'
  }

/** Account and token that a guess is for. */
export interface Guess {
  readonly account: CountedAccount
  /** ID of the token that the guess belongs to. */
  readonly id: string
}

/** Limits the messages that are sent, and the guesses of codes. */
export class AccountLimits {
  readonly #context: AccountLimitsContext

  constructor (context: AccountLimitsContext) {
    this.#context = context
  }

  /**
   * Counts a message by account and by network of the client.
   *
   * @throws TokenAuthError `AUTH_TOO_MANY_ATTEMPTS`, `AUTH_STORE_UNAVAILABLE`
   */
  async countMessage (account: CountedAccount, { address }: Caller): Promise<void> {
    const { sendLimits, attempts, clock } = this.#context
    const counts: CountedKey[] = []

    if (sendLimits.address !== null && address !== null) {
      const rule = createWindowRule(sendLimits.address)
      counts.push(...this.#createCounts('send-address', getNetwork(address), rule))
    }

    if (sendLimits.account !== null) {
      const rule = createWindowRule(sendLimits.account)
      counts.push(...this.#createCounts('send', toValue(account), rule))
    }

    const now = clock()
    const blocked = counts.length === 0 ? null : await attempts.consume(counts, now)

    if (blocked !== null) {
      throw createTooManyAttemptsError(blocked.until - now)
    }
  }

  /**
   * Counts a message by the user whom the app has found, who may have many addresses.
   *
   * @param userId - `null` for an unknown address. It is counted too, so that both take as long.
   * @returns Whether the message may be sent. The response does not show it.
   */
  async allowsMessage (userId: string | null, account: string): Promise<boolean> {
    const { sendLimits: { account: limit } } = this.#context

    return limit === null ||
      await this.#consumeForUser('send', userId, account, createWindowRule(limit))
  }

  /**
   * Counts a guess by the user whom the app has found, who may have many addresses.
   *
   * @param userId - `null` for an unknown address. It is counted too, so that both take as long.
   * @returns Whether the guess is allowed. The response does not show it.
   */
  allowsGuess (userId: string | null, account: string): Promise<boolean> {
    const rule = this.#context.throttle?.account ?? DEFAULT_ACCOUNT_RULE
    return this.#consumeForUser('code', userId, account, rule)
  }

  /** Resets the count of guesses of a user who has signed in. */
  async resetGuesses (userId: string): Promise<void> {
    await this.#context.attempts.reset(
      getKeys(this.#createCounts('code-user', userId, DEFAULT_ACCOUNT_RULE))
    )
  }

  /**
   * Checks a guess, unless too many guesses were wrong before.
   *
   * Counts the guess by network, account and token before it is checked. Only wrong ones stay
   * counted.
   *
   * @param check - Returns whether the guess is right.
   * @param rejection - Code of the error for a wrong guess.
   * @throws TokenAuthError `rejection` if the guess is wrong, `AUTH_ONE_TIME_USED` if the token
   * accepts no more guesses, `AUTH_TOO_MANY_ATTEMPTS`, `AUTH_STORE_UNAVAILABLE`
   */
  async guardGuess (
    { account, id }: Guess,
    { address }: Caller,
    check: () => Promise<boolean>,
    rejection: ErrorCode = 'AUTH_ONE_TIME_INVALID'
  ): Promise<void> {
    const { attempts, throttle, clock } = this.#context
    const addressRule = throttle?.address ?? DEFAULT_ADDRESS_RULE
    const byAddress = address === null
      ? []
      : this.#createCounts('code-address', getNetwork(address), addressRule)
    const byCode = this.#createCounts(
      'code',
      id,
      createWindowRule({ maxAttempts: MAX_CODE_GUESSES, window: CODE_RETENTION })
    )
    const byAccount = this.#createCounts(
      'code-account',
      toValue(account),
      throttle?.account ?? DEFAULT_ACCOUNT_RULE
    )
    const now = clock()
    const blocked = await attempts.consume([...byAddress, ...byCode, ...byAccount], now)

    if (blocked !== null) {
      throw byCode.some(({ key }) => key === blocked.key)
        ? new TokenAuthError('AUTH_ONE_TIME_USED')
        : createTooManyAttemptsError(blocked.until - now)
    }

    let isRight: boolean

    try {
      isRight = await check()
    } catch (error) {
      await attempts.refund(getKeys([...byAddress, ...byCode, ...byAccount]))
      throw error
    }

    if (!isRight) {
      throw new TokenAuthError(rejection)
    }

    await attempts.reset(getKeys([...byCode, ...byAccount]), getKeys(byAddress))
  }

  async #consumeForUser (
    kind: string,
    userId: string | null,
    account: string,
    rule: AttemptRule
  ): Promise<boolean> {
    const { attempts, clock } = this.#context
    const counts = userId === null
      ? this.#createCounts(`${kind}-nobody`, foldLogin(account), rule)
      : this.#createCounts(`${kind}-user`, userId, rule)
    return await attempts.consume(counts, clock()) === null
  }

  // Counts under the key of each secret, so that counts survive the rotation of secrets.
  #createCounts (kind: string, value: string, rule: AttemptRule): CountedKey[] {
    return this.#context.keys.map(({ key }) => ({
      key: createHmac('sha256', key).update(`${kind}:${value}`).digest('base64url'),
      rule
    }))
  }
}

function toValue (account: CountedAccount): string {
  return 'email' in account
    ? `email:${foldLogin(account.email)}`
    : `${account.use}:${account.userId}`
}

function getKeys (counts: readonly CountedKey[]): string[] {
  return counts.map(({ key }) => key)
}
