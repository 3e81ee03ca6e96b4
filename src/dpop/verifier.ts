import { hash } from 'node:crypto'
import { createWindowRule } from '../domain/attempt-rule.js'
import { TokenAuthError } from '../errors.js'
import { BoundedMap } from '../lib/bounded-map.js'
import { CLOCK_TOLERANCE, SECOND } from '../lib/time.js'
import type { Millis } from '../lib/time.js'
import type { AttemptStore } from '../stores/attempt-store.js'
import type { AppKey } from '../tokens/keys.js'
import { MAX_NONCE_LIFETIME } from './nonces.js'
import type { DpopNonces } from './nonces.js'
import { readDpopProof } from './proof.js'
import type { DpopProofClaims } from './proof.js'

// A cached key with its header takes about 1 kB.
const MAX_CACHED_KEYS = 10_000

/** Request that a proof must match, as the client sees it. */
export interface ProvenRequest {
  readonly method: string
  readonly url: string
  /** Access token in the request, which `ath` must match; `null` if there is none. */
  readonly accessToken: string | null
}

/** Verified proof that a client holds a private key. */
export interface DpopProof {
  /** JWK thumbprint of the key, SHA-256 (RFC 7638). */
  readonly thumbprint: string
  /** Hash of the thumbprint and `jti`, under which the proof is consumed. */
  readonly id: string
  /** Moment when the proof expires. */
  readonly until: Millis
  readonly nonce: string | null
}

/** Dependencies of a {@link DpopVerifier}. */
export interface DpopVerifierContext {
  /** `null` if proofs need no nonce. Their time is then that of the client's clock. */
  readonly nonces: DpopNonces | null
  /** Saves consumed proofs. Share it between instances. */
  readonly replays: AttemptStore
  readonly clock: () => Millis
}

/**
 * Verifies DPoP proofs and consumes each one once (RFC 9449, section 4.3).
 *
 * A request without a valid proof never reaches the token store, so it cannot cause a rotation or a
 * reuse.
 */
export class DpopVerifier {
  readonly #context: DpopVerifierContext
  // Two hooks or a retry may consume the same object, although the client sent its proof once.
  readonly #consumed = new WeakMap<DpopProof, Promise<void>>()
  readonly #keys = new BoundedMap<string, AppKey>(MAX_CACHED_KEYS)

  constructor (context: DpopVerifierContext) {
    this.#context = context
  }

  /** Store of consumed proofs, for the sweeper. */
  get replays (): AttemptStore {
    return this.#context.replays
  }

  /** Returns the nonce for the next proof; `null` if proofs need none. */
  nonce (): string | null {
    const { nonces, clock } = this.#context
    return nonces?.current(clock()) ?? null
  }

  /**
   * Verifies that a proof is authentic and belongs to a request.
   *
   * The caller must {@link consume} the proof as soon as the tokens of the request are verified. An
   * attacker can sign any number of proofs, so a proof alone is not saved.
   *
   * @throws TokenAuthError `AUTH_DPOP_INVALID`, `AUTH_DPOP_NONCE`
   */
  verify (header: string, { method, url, accessToken }: ProvenRequest): DpopProof {
    const proof = readDpopProof(header, this.#keys)

    if (proof === null) {
      throw new TokenAuthError('AUTH_DPOP_INVALID')
    }

    if (proof.htm !== method) {
      throw invalidProof('htm does not match the request method')
    }

    // The router does not resolve dot segments. A proof for one route would fit another one.
    if (hasDotSegments(url)) {
      throw invalidProof('request URL contains dot segments')
    }

    const normalizedUrl = normalizeUrl(url)

    if (normalizedUrl === null || normalizeUrl(proof.htu) !== normalizedUrl) {
      throw invalidProof('htu does not match the request URL')
    }

    if (accessToken !== null && proof.ath !== hash('sha256', accessToken, 'base64url')) {
      throw invalidProof('ath does not match the access token')
    }

    const { thumbprint, jti, nonce } = proof

    return {
      thumbprint,
      id: hash('sha256', `${thumbprint} ${jti}`, 'base64url'),
      until: this.#getExpiry(proof),
      nonce
    }
  }

  /**
   * Consumes a verified proof.
   *
   * Only one of several requests with the same proof succeeds, even at different instances that
   * share `replays`.
   *
   * @throws TokenAuthError `AUTH_DPOP_INVALID` if the proof was used before
   * @throws TokenAuthError `AUTH_STORE_UNAVAILABLE`
   */
  consume (proof: DpopProof): Promise<void> {
    let consumed = this.#consumed.get(proof)

    if (consumed === undefined) {
      consumed = this.#save(proof).catch((error: unknown) => {
        this.#consumed.delete(proof)
        throw error
      })
      this.#consumed.set(proof, consumed)
    }

    return consumed
  }

  async #save ({ id, until }: DpopProof): Promise<void> {
    const now = this.#context.clock()
    // Saved until the clocks of all instances agree that the proof has expired.
    const window = Math.max(1, until - now + CLOCK_TOLERANCE)
    const rule = createWindowRule({ maxAttempts: 1, window })

    if (await this.replays.consume([{ key: id, rule }], now) !== null) {
      throw invalidProof('it was used before')
    }
  }

  /** A nonce dates the proof by the server's clock. Without one, the client's `iat` counts. */
  #getExpiry ({ nonce, iat }: DpopProofClaims): Millis {
    const { nonces, clock } = this.#context
    const now = clock()

    if (nonces !== null) {
      if (nonce === null || !nonces.isFresh(nonce, now)) {
        throw new TokenAuthError('AUTH_DPOP_NONCE')
      }

      return now + MAX_NONCE_LIFETIME
    }

    // Stores save whole milliseconds.
    const createdAt = Math.floor(iat * SECOND)

    if (Math.abs(now - createdAt) > CLOCK_TOLERANCE) {
      throw invalidProof('iat is too far from the server time')
    }

    return createdAt + CLOCK_TOLERANCE + 1
  }
}

function invalidProof (hint: string): TokenAuthError {
  return new TokenAuthError('AUTH_DPOP_INVALID', { hint })
}

/**
 * Whether the path of a URL has segments `.` or `..`, also percent-encoded, or characters that
 * `URL` changes before it looks for such segments.
 */
function hasDotSegments (url: string): boolean {
  const [path = ''] = url.split(/[?#]/, 1)

  return /[\\\t\n\r]/.test(path) ||
    path.split('/').some(segment => /^(?:\.|%2e){1,2}$/i.test(segment))
}

/**
 * Normalizes a URL for comparison and removes query and fragment (RFC 3986, section 6.2).
 *
 * @returns `null` if the URL is malformed or contains credentials.
 */
function normalizeUrl (input: string): string | null {
  if (!URL.canParse(input)) {
    return null
  }

  const { protocol, host, pathname, username, password } = new URL(input)

  if (username !== '' || password !== '') {
    return null
  }

  return `${protocol}//${host}${pathname.replace(/%[\da-f]{2}/gi, normalizeEscape)}`
}

/** Decodes an escape of an unreserved character and writes all other escapes in upper case. */
function normalizeEscape (escape: string): string {
  const character = String.fromCharCode(parseInt(escape.slice(1), 16))
  return /[\w.~-]/.test(character) ? character : escape.toUpperCase()
}
