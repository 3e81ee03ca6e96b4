// The public keys of another service, read from its JWKS by jose, which also verifies by them beside the event loop. When to read
// is decided here, by the app's own clock: jose by itself would ask anew at each request while the issuer cannot be reached.

import { compactVerify, createRemoteJWKSet } from 'jose'
import type { JWK, RemoteJWKSet } from 'jose'
import { TokenAuthError } from '../errors.js'
import { decodeHeader, isNonEmptyString, isRecord, isSameType } from '../tokens/jwt-codec.js'
import type { Claims } from '../tokens/jwt-codec.js'
import { readKey } from '../tokens/keys.js'
import type { AppKey } from '../tokens/keys.js'
import type { Millis } from '../lib/time.js'

export interface RemoteKeysContext {
  readonly uri: URL
  /** The `typ` of the tokens that are to be opened. */
  readonly typ: string
  /** Keys for others are as if they were not there. */
  readonly algorithms: ReadonlySet<string>
  readonly clock: () => Millis
  /** How long the issuer may take to answer. */
  readonly timeout: Millis
  /** How long a set is left in peace that does not hold a key which a token names. */
  readonly cooldown: Millis
  /** How long a set is believed. */
  readonly maxAge: Millis
  /** Is told why the set could not be read: the name and code of an error, nothing that was received. */
  readonly onFailure: (cause: string) => void
}

/** What an authentic token says, and the key that says so. */
export interface Opened {
  readonly claims: Claims
  readonly key: AppKey
}

// Somebody waits for it: a second, as `Retry-After` tells them.
const RETRY: Millis = 1000

/** */
export class RemoteKeys {
  readonly #context: RemoteKeysContext
  readonly #set: RemoteJWKSet
  #keys: ReadonlyMap<string, AppKey> = new Map()
  #readAt: Millis = -Infinity
  #failedAt: Millis = -Infinity
  #reading: Promise<boolean> | null = null

  constructor (context: RemoteKeysContext) {
    this.#context = context
    // Never old, always cooling down: it reads when it is told to.
    this.#set = createRemoteJWKSet(context.uri, {
      timeoutDuration: context.timeout,
      cacheMaxAge: Infinity,
      cooldownDuration: Infinity
    })
  }

  /** Whether the issuer still has this key, as far as is known. Looks again in time, for which nobody waits. */
  holds (key: AppKey, now: Millis): boolean {
    this.readAhead(now)
    return this.#isFresh(now, this.#context.maxAge) && this.#keys.get(key.kid) === key
  }

  /** Reads the set where it is halfway to being too old, so that a short outage of the issuer is not noticed. */
  readAhead (now: Millis): void {
    if (
      this.#isFresh(now, this.#context.maxAge / 2) ||
      !hasPassed(this.#failedAt, this.#context.cooldown, now)
    ) {
      return
    }

    this.#reading ??= this.#read(now)
  }

  /**
   * `null` for all that is no token of this issuer and type. Times and types of claims are the caller's.
   * @throws TokenAuthError AUTH_KEYS_UNAVAILABLE where it cannot be told
   */
  async open (token: string): Promise<Opened | null> {
    const header = decodeHeader(token)

    if (
      header === null || !isSameType(header.typ, this.#context.typ) || !isNonEmptyString(header.kid)
    ) {
      return null
    }

    if (!isNonEmptyString(header.alg) || !this.#context.algorithms.has(header.alg)) {
      return null
    }

    const key = await this.#find(header.kid)

    if (key === undefined || key.alg !== header.alg) {
      return null
    }

    try {
      const { payload } = await compactVerify(token, key.verifying, { algorithms: [key.alg] })
      const claims: unknown = JSON.parse(Buffer.from(payload).toString())
      return isRecord(claims) ? { claims, key } : null
    } catch {
      return null
    }
  }

  async #find (kid: string): Promise<AppKey | undefined> {
    const { clock, maxAge, cooldown } = this.#context
    this.readAhead(clock())

    if (!this.#isFresh(clock(), maxAge)) {
      await this.#assertRead()
    }

    if (!this.#keys.has(kid) && (this.#reading !== null || !this.#isFresh(clock(), cooldown))) {
      await this.#assertRead()
    }

    return this.#keys.get(kid)
  }

  async #assertRead (): Promise<void> {
    const now = this.#context.clock()

    if (this.#reading === null && hasPassed(this.#failedAt, RETRY, now)) {
      this.#reading = this.#read(now)
    }

    if (await this.#reading !== true) {
      throw new TokenAuthError('AUTH_KEYS_UNAVAILABLE')
    }
  }

  /** Whether it could be read. It is as old as the question, whenever the answer came. */
  async #read (now: Millis): Promise<boolean> {
    try {
      await this.#set.reload()
      const keys = this.#usable(this.#set.jwks()?.keys ?? [])

      if (keys.length === 0) {
        throw new RangeError('it holds no key that can be used')
      }

      this.#keys = new Map(keys.map(key => [key.kid, key]))
      this.#readAt = now
      this.#failedAt = -Infinity
      return true
    } catch (error) {
      this.#failedAt = this.#context.clock()
      this.#context.onFailure(causeOf(error))
      return false
    } finally {
      this.#reading = null
    }
  }

  // What cannot be used is ignored (RFC 7517 section 5), and a kid that is there twice names no key.
  #usable (jwks: readonly JWK[]): AppKey[] {
    const keys = jwks.map(toPublicKey).filter(key => key !== null)

    return keys
      .filter(({ kid, alg }) =>
        this.#context.algorithms.has(alg) && keys.filter(other => other.kid === kid).length === 1
      )
      .map(key => {
        const before = this.#keys.get(key.kid)
        return before?.alg === key.alg && before.verifying.equals(key.verifying) ? before : key
      })
  }

  #isFresh (now: Millis, age: Millis): boolean {
    return !hasPassed(this.#readAt, age, now)
  }
}

// A clock that says less than before was wrong once: it is time then too.
function hasPassed (since: Millis, span: Millis, now: Millis): boolean {
  return now < since || now - since >= span
}

function toPublicKey (jwk: JWK): AppKey | null {
  try {
    const key = readKey({ key: jwk, kid: jwk.kid as string })
    const isMeant = isNonEmptyString(jwk.kid) &&
      (jwk.key_ops === undefined || jwk.key_ops.includes('verify'))
    return isMeant && key.publicJwk !== null && key.signing === null ? key : null
  } catch {
    return null
  }
}

// What jose and fetch say is fixed, and holds nothing that was received.
function causeOf (error: unknown): string {
  const { name, code, message, cause } = error as Error & { readonly code?: unknown }
  const { code: reason } = (cause ?? {}) as { readonly code?: unknown }
  return [name, code, reason, message].filter(isNonEmptyString).join(' ')
}
