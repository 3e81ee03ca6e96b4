import { createHmac, createSecretKey, randomBytes, timingSafeEqual } from 'node:crypto'
import { TokenAuthError } from '../errors.js'
import { MINUTE } from '../lib/time.js'
import type { Millis } from '../lib/time.js'
import type { DerivedSession } from '../sessions/new-session.js'
import { decodeHeader, JwtCodec } from '../tokens/jwt-codec.js'
import type { JwtSigner, JwtSigners } from '../tokens/jwt-codec.js'
import type { KeyPurpose, SigningKeys } from '../tokens/key-derivation.js'
import { createKeySigner } from '../tokens/key-signer.js'
import { issueOneTimeToken, ONE_TIME_TYP, readOneTimeToken } from '../tokens/one-time-token.js'
import type { OneTimeToken } from '../tokens/one-time-token.js'
import type {
  CreatedOneTimeToken,
  OneTimeData,
  OneTimeExpectation,
  RedeemedOneTimeToken,
  VerifiedOneTimeToken
} from './one-time-tokens.js'
import { SingleUse } from './single-use.js'
import type { SingleUseContext } from './single-use.js'

/** Time in which the same request gets the same response again. */
export const REPEAT_WINDOW: Millis = MINUTE

const ID_BYTES = 16

/** Collaborators of a {@link OneTimeTokenIssuer} that its registration provides. */
export interface OneTimeContext extends SingleUseContext {
  /** Derives keys of the registration, the current one first. */
  readonly deriveKeys: (purpose: KeyPurpose) => SigningKeys
}

/** Settings of a new token, checked. */
export interface OneTimeInput {
  readonly purpose: string
  readonly subject: string
  readonly lifetime: Millis
  /** `undefined` if the token changes no state. */
  readonly state?: string | null | undefined
  readonly data?: OneTimeData | undefined
}

interface OneTimeKeys {
  /** Key of the fingerprints of states. */
  readonly fingerprint: Buffer
  /** Key from which sessions and codes are derived. */
  readonly derivation: Buffer
}

/**
 * Issues, verifies and redeems one-time tokens of any purpose.
 *
 * Purposes with `/` belong to the plugin. The API for apps rejects them.
 */
export class OneTimeTokenIssuer {
  readonly #context: OneTimeContext
  readonly #codec: JwtCodec
  /** Keys by key ID, current ones first. */
  readonly #keys: ReadonlyMap<string, OneTimeKeys>
  readonly #singleUse: SingleUse

  constructor (context: OneTimeContext) {
    const signing = context.deriveKeys('one-time')
    const fingerprint = context.deriveKeys('one-time-state')
    const derivation = context.deriveKeys('one-time-session')
    this.#context = context
    this.#codec = new JwtCodec(ONE_TIME_TYP, createSigners(signing))
    this.#keys = new Map(signing.map(({ id }, i) => [id, {
      fingerprint: fingerprint[i]?.key as Buffer,
      derivation: derivation[i]?.key as Buffer
    }]))
    this.#singleUse = new SingleUse(context)
  }

  /** Creates a token. Saves nothing. */
  create ({ purpose, subject, lifetime, state, data = {} }: OneTimeInput): CreatedOneTimeToken {
    const now = this.#context.clock()
    const [keys] = this.#keys.values() as Iterable<OneTimeKeys> as [OneTimeKeys]
    const expiresAt = Math.floor((now + lifetime) / 1000) * 1000
    const fingerprint = state === undefined
      ? null
      : createFingerprint(keys, { purpose, subject }, state)
    const id = randomBytes(ID_BYTES).toString('base64url')
    const token = issueOneTimeToken(
      this.#codec,
      { id, purpose, subject, expiresAt, fingerprint, data },
      now
    )
    return { token, expiresAt }
  }

  /**
   * Reads an authentic token of any age, used or not.
   *
   * @throws TokenAuthError `AUTH_ONE_TIME_INVALID`
   */
  read (token: unknown, purpose: string): OneTimeToken {
    const read = typeof token === 'string' ? readOneTimeToken(this.#codec, token) : null

    if (read?.purpose !== purpose) {
      throw new TokenAuthError('AUTH_ONE_TIME_INVALID')
    }

    return read
  }

  /**
   * Verifies a token without using it up.
   *
   * @throws TokenAuthError `AUTH_ONE_TIME_INVALID`, `AUTH_ONE_TIME_EXPIRED`, or
   * `AUTH_ONE_TIME_USED` if the state has changed.
   */
  async verify (
    token: string,
    { purpose, state }: OneTimeExpectation
  ): Promise<VerifiedOneTimeToken & { readonly id: string }> {
    const read = this.read(token, purpose)

    if (this.#context.clock() >= read.expiresAt) {
      throw new TokenAuthError('AUTH_ONE_TIME_EXPIRED')
    }

    if (!await this.#isCurrent(token, read, state)) {
      throw new TokenAuthError('AUTH_ONE_TIME_USED')
    }

    return toVerified(read)
  }

  /**
   * Redeems a token. Counts the use before it reads the state, so that one of several requests is
   * the first.
   *
   * @throws TokenAuthError `AUTH_ONE_TIME_INVALID`, `AUTH_ONE_TIME_EXPIRED`, `AUTH_ONE_TIME_USED`
   * or `AUTH_STORE_UNAVAILABLE`
   */
  async redeem (
    token: string,
    { purpose, state }: OneTimeExpectation
  ): Promise<RedeemedOneTimeToken & { readonly id: string }> {
    const read = this.read(token, purpose)
    const { clock } = this.#context
    const now = clock()

    // A token may be redeemed in its last second, and that request may be repeated.
    if (now >= read.expiresAt + REPEAT_WINDOW) {
      throw new TokenAuthError('AUTH_ONE_TIME_EXPIRED')
    }

    const until = read.expiresAt + 2 * REPEAT_WINDOW
    const { isFirst, since } = await this.#singleUse.claim('one-time', read.id, until)

    if (isFirst && now >= read.expiresAt) {
      throw new TokenAuthError('AUTH_ONE_TIME_EXPIRED')
    }

    const isCurrent = await this.#isCurrent(token, read, state)

    if (isFirst ? !isCurrent : clock() - since >= REPEAT_WINDOW) {
      throw new TokenAuthError('AUTH_ONE_TIME_USED')
    }

    const isDone = !isFirst && (read.fingerprint === null || !isCurrent)
    return { ...toVerified(read), redeemedAt: since, isDone }
  }

  /**
   * Derives a session from a token, so that each request with the token means the same session.
   *
   * @param thumbprint - Key that the session is bound to. Another key gets another secret, and so
   * cannot open the session again.
   */
  deriveSession (token: string, thumbprint: string | null): DerivedSession {
    const { derivation } = this.#getKeys(token)
    const derive = (...values: ReadonlyArray<string | null>): Buffer =>
      createHmac('sha256', derivation).update(JSON.stringify(values)).digest()

    return {
      idBytes: derive('id', token).subarray(0, ID_BYTES),
      secret: derive('secret', token, thumbprint).toString('base64url')
    }
  }

  /**
   * Derives a code of digits from the token of its challenge.
   *
   * @param values - User and state that the code is for.
   */
  deriveCode (token: string, values: ReadonlyArray<string | null>, length: number): string {
    const { derivation } = this.#getKeys(token)
    const mac = createHmac('sha256', derivation).update(JSON.stringify(['code', token, ...values]))
    return String(mac.digest().readBigUInt64BE() % 10n ** BigInt(length)).padStart(length, '0')
  }

  async #isCurrent (
    token: string,
    read: OneTimeToken,
    expected: OneTimeExpectation['state']
  ): Promise<boolean> {
    const state = typeof expected === 'function' ? await expected(toVerified(read)) : expected

    if (state === undefined || read.fingerprint === null) {
      return state === undefined && read.fingerprint === null
    }

    const fingerprint = createFingerprint(this.#getKeys(token), read, state)
    return timingSafeEqual(Buffer.from(fingerprint), Buffer.from(read.fingerprint.padEnd(43)))
  }

  // The token names the key that signed it. So instances that rotate their secrets agree.
  #getKeys (token: string): OneTimeKeys {
    return this.#keys.get(decodeHeader(token)?.kid as string) as OneTimeKeys
  }
}

// @fastify/jwt signs the other tokens. It cannot sign these: this file is loaded when the first
// token is needed, and Fastify rejects registrations after startup.
function createSigners (keys: SigningKeys): JwtSigners {
  return keys.map(({ id: kid, key }): JwtSigner => {
    const secret = createSecretKey(key)

    return createKeySigner(
      { kid, alg: 'HS256', signing: secret, verifying: secret, publicJwk: null },
      ONE_TIME_TYP
    )
  }) as unknown as JwtSigners
}

function createFingerprint (
  { fingerprint }: OneTimeKeys,
  { purpose, subject }: Pick<OneTimeToken, 'purpose' | 'subject'>,
  state: string | null
): string {
  return createHmac('sha256', fingerprint)
    .update(JSON.stringify([purpose, subject, state]))
    .digest('base64url')
}

function toVerified (
  { id, subject, data, expiresAt }: OneTimeToken
): VerifiedOneTimeToken & { readonly id: string } {
  return { id, subject, data, expiresAt }
}
