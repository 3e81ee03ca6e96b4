import { compactVerify, createRemoteJWKSet, customFetch, jwksCache } from 'jose'
import type { FetchImplementation, JWK, JWKSCacheInput, RemoteJWKSet } from 'jose'
import { TokenAuthError } from '../errors.js'
import { toSafeError } from '../lib/safe-error.js'
import { SECOND } from '../lib/time.js'
import type { Millis } from '../lib/time.js'
import { isNonEmptyString, isRecord } from '../tokens/claims.js'
import type { Claims } from '../tokens/claims.js'
import { decodeHeader, decodeParts, isSameType } from '../tokens/jwt-codec.js'
import { readKey } from '../tokens/keys.js'
import type { AppKey } from '../tokens/keys.js'
import { isCanonicalForm } from '../tokens/signatures.js'
import { readBody } from './response-body.js'

/** Settings and callbacks of {@link RemoteKeys}. */
export interface RemoteKeysContext {
  readonly uri: URL
  /** `typ` header member of the tokens to verify. */
  readonly typ: string
  /** Accepted algorithms. Keys for other ones are ignored. */
  readonly algorithms: ReadonlySet<string>
  readonly timeout: Millis
  /** Minimum time between two reads because of an unknown key ID. */
  readonly cooldown: Millis
  /** Time after which the key set must be read again. It starts when a response has arrived. */
  readonly maxAge: Millis
  /** Called with the error name and code if the key set cannot be read. */
  readonly onFailure: (cause: string) => void
}

/** Claims of an authentic token, and the key that signed it. */
export interface AuthenticToken {
  readonly claims: Claims
  readonly key: AppKey
}

// Requests during an outage must not flood the issuer. Clients get the same time in `Retry-After`.
const RETRY_INTERVAL: Millis = SECOND

/** Maximum length of a key set in bytes. A key takes less than 1 kB. */
const MAX_KEY_SET_LENGTH = 262_144

/**
 * Verifies tokens with the JSON Web Key Set of an issuer.
 *
 * jose reads and caches the set, shares concurrent reads, and waits for the cooldown. All times
 * here follow the system clock, because jose has no other one.
 */
export class RemoteKeys {
  readonly #context: RemoteKeysContext
  readonly #set: RemoteJWKSet
  readonly #cache: JWKSCacheInput = {}
  #keys: ReadonlyMap<string, AppKey> = new Map()
  #failedAt: Millis = -Infinity

  constructor (context: RemoteKeysContext) {
    this.#context = context
    this.#set = createRemoteJWKSet(context.uri, {
      timeoutDuration: context.timeout,
      cacheMaxAge: context.maxAge,
      cooldownDuration: context.cooldown,
      [jwksCache]: this.#cache,
      [customFetch]: (...request) => this.#fetch(...request)
    })
  }

  /** Whether the current key set contains a key. Also starts a read of the set if one is due. */
  hasKey (key: AppKey): boolean {
    this.readAhead()
    return this.#isFresh() && this.#keys.get(key.kid) === key
  }

  /**
   * Reads the set in the background after half of `maxAge`.
   *
   * A failed read leaves the previous keys in use, so that a short outage has no effect.
   */
  readAhead (): void {
    const { maxAge, cooldown } = this.#context
    const age = this.#getAge()

    if (
      (age < 0 || age >= maxAge / 2) && !this.#set.reloading && this.#canRetry(cooldown)
    ) {
      this.#reload().catch(() => {})
    }
  }

  /**
   * Verifies the signature of a token. The caller checks its claims.
   *
   * @returns `null` if the token is not authentic or has another type.
   * @throws TokenAuthError `AUTH_KEYS_UNAVAILABLE` if the key set cannot be read.
   */
  async verify (token: string): Promise<AuthenticToken | null> {
    const header = decodeHeader(token)

    if (header === null || !isSameType(header.typ, this.#context.typ)) {
      return null
    }

    const { kid, alg } = header

    if (!isNonEmptyString(kid) || !isNonEmptyString(alg) || !this.#context.algorithms.has(alg)) {
      return null
    }

    const key = await this.#findKey(kid)
    const signature = decodeParts(token)?.signature

    if (
      key === undefined || key.alg !== alg || signature === undefined ||
      !isCanonicalForm(signature, key.alg)
    ) {
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

  async #findKey (kid: string): Promise<AppKey | undefined> {
    this.readAhead()

    if (!this.#isFresh()) {
      await this.#reload()
    }

    if (!this.#keys.has(kid) && (this.#set.reloading || !this.#set.coolingDown)) {
      await this.#reload()
    }

    return this.#keys.get(kid)
  }

  // Negative after the system clock was set back. jose would then keep removed keys for longer
  // than `maxAge`, so the set counts as expired.
  #getAge (): Millis {
    return Date.now() - (this.#cache.uat ?? -Infinity)
  }

  #isFresh (): boolean {
    return this.#set.fresh && this.#getAge() >= 0
  }

  async #reload (): Promise<void> {
    if (!this.#set.reloading && !this.#canRetry(RETRY_INTERVAL)) {
      throw new TokenAuthError('AUTH_KEYS_UNAVAILABLE')
    }

    const isShared = this.#set.reloading

    try {
      await this.#set.reload()
      this.#failedAt = -Infinity
    } catch (error) {
      if (!isShared) {
        this.#failedAt = Date.now()
        this.#context.onFailure(describeFailure(error))
      }

      throw new TokenAuthError('AUTH_KEYS_UNAVAILABLE', { cause: toSafeError(error, false) })
    }
  }

  // A response without a usable key counts as an outage. jose keeps the previous set until
  // `maxAge`. Then requests fail with 503 instead of 401.
  async #fetch (...request: Parameters<FetchImplementation>): Promise<Response> {
    const response = await fetch(...request)

    if (response.status !== 200) {
      // jose rejects the response without reading it, which would keep the connection open.
      await response.body?.cancel()
      return response
    }

    const set = parseJson(await readBody(response, MAX_KEY_SET_LENGTH))
    this.#useKeys(readJwks(set))
    return Response.json(set)
  }

  // The distance counts, so that a clock that was set back does not block retries.
  #canRetry (interval: Millis): boolean {
    return Math.abs(Date.now() - this.#failedAt) >= interval
  }

  // Unusable keys are ignored (RFC 7517, section 5), and so are keys with a duplicate ID.
  #useKeys (jwks: readonly JWK[]): void {
    const all = jwks.map(toPublicKey).filter(key => key !== null)
    const usable = all.filter(({ kid, alg }) =>
      this.#context.algorithms.has(alg) && all.filter(other => other.kid === kid).length === 1
    )

    if (usable.length === 0) {
      throw new RangeError('key set has no usable key')
    }

    // Unchanged keys stay the same object, so that cached tokens stay valid.
    this.#keys = new Map(usable.map(key => {
      const known = this.#keys.get(key.kid)
      const isKnown = known?.alg === key.alg && known.verifying.equals(key.verifying)
      return [key.kid, isKnown ? known : key]
    }))
  }
}

// The message of a `SyntaxError` quotes the response, so another error takes its place.
function parseJson (body: string): unknown {
  try {
    return JSON.parse(body)
  } catch (cause) {
    throw new Error('key set is not JSON', { cause })
  }
}

// As strict as jose. Otherwise, jose could reject a set after its keys are in use here.
function readJwks (set: unknown): readonly JWK[] {
  return isRecord(set) && Array.isArray(set.keys) && set.keys.every(isRecord) ? set.keys : []
}

function toPublicKey (jwk: JWK): AppKey | null {
  try {
    const key = readKey({ key: jwk, kid: jwk.kid as string })
    const isForVerifying = isNonEmptyString(jwk.kid) &&
      (jwk.key_ops === undefined || jwk.key_ops.includes('verify'))
    return isForVerifying && key.publicJwk !== null && key.signing === null ? key : null
  } catch {
    return null
  }
}

// No message quotes the response: those of jose, fetch and this file are fixed strings.
function describeFailure (error: unknown): string {
  const { name, code, message, cause } = error as Error & { readonly code?: unknown }
  const { code: reason } = (cause ?? {}) as { readonly code?: unknown }

  return [name, code, reason, message].filter(isNonEmptyString).join(' ')
}
