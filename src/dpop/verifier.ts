// Proofs of possession in use: each is for one request, now, and once (RFC 9449 section 4.3). Nothing here asks the store of
// sessions, so that whoever has no key refreshes nothing there, and makes no reuse of it.

import { hash } from 'node:crypto'
import { LONGEST_NONCE } from './nonces.js'
import type { DpopNonces } from './nonces.js'
import { readDpopProof } from './proof.js'
import type { DpopProofClaims } from './proof.js'
import type { AppKey } from '../tokens/keys.js'
import { CLOCK_TOLERANCE } from '../domain/rotation.js'
import { TokenAuthError } from '../errors.js'
import type { AttemptStore } from '../stores/attempt-store.js'
import { BoundedMap } from '../lib/bounded-map.js'
import type { Millis } from '../lib/time.js'

// Of a public key and the header that shows it there is a kB.
const KEYS = 10_000

/** A request as its client sees it. */
export interface ProvenRequest {
  readonly method: string
  readonly url: string
  /** The access token in it, which the proof must name; `null` where it brings none. */
  readonly accessToken: string | null
}

/** Somebody holds a key. */
export interface DpopProof {
  /** Of the key (RFC 7638, SHA-256). */
  readonly thumbprint: string
  /** Under which it is remembered. */
  readonly id: string
  /** From when on it would be refused in any case. */
  readonly until: Millis
  readonly nonce: string | null
}

export interface DpopVerifierContext {
  /** `null` where proofs need none, and the clocks of clients are believed. */
  readonly nonces: DpopNonces | null
  /** Where the proofs that were seen are remembered. */
  readonly replays: AttemptStore
  readonly clock: () => Millis
}

/** */
export class DpopVerifier {
  readonly replays: AttemptStore
  readonly #context: DpopVerifierContext
  // A request that is tried again here, or looked at by two hooks, has not sent its proof again.
  readonly #spent = new WeakMap<DpopProof, Promise<void>>()
  readonly #keys = new BoundedMap<string, AppKey>(KEYS)

  constructor (context: DpopVerifierContext) {
    this.replays = context.replays
    this.#context = context
  }

  /** What the next proof is to hold; `null` where it need not. */
  nonce (): string | null {
    const { nonces, clock } = this.#context
    return nonces?.current(clock()) ?? null
  }

  /**
   * Who proves to hold a key. It is for the caller to {@link consume} it, once whatever comes with it is authentic: what strangers
   * sign with keys of their own is not remembered.
   * @throws TokenAuthError AUTH_DPOP_INVALID, AUTH_DPOP_NONCE
   */
  verify (text: string, { method, url, accessToken }: ProvenRequest): DpopProof {
    const proof = readDpopProof(text, this.#keys)

    if (proof === null) {
      throw new TokenAuthError('AUTH_DPOP_INVALID')
    }

    if (proof.htm !== method) {
      throw invalid('htm does not match the request method')
    }

    const address = normalized(url)

    if (address === null || normalized(proof.htu) !== address) {
      throw invalid('htu does not match the request URL')
    }

    const expected = accessToken === null ? null : hash('sha256', accessToken, 'base64url')

    if (expected !== null && proof.ath !== expected) {
      throw invalid('ath does not match the access token')
    }

    const { thumbprint, jti, nonce } = proof

    return {
      thumbprint,
      id: hash('sha256', `${thumbprint} ${jti}`, 'base64url'),
      until: this.#endOf(proof),
      nonce
    }
  }

  /**
   * Accepts a proof that was checked, once: of any number at once, also at several instances that share `replays`, exactly one.
   * @throws TokenAuthError AUTH_DPOP_INVALID; AUTH_STORE_UNAVAILABLE
   */
  consume (proof: DpopProof): Promise<void> {
    let spending = this.#spent.get(proof)

    if (spending === undefined) {
      spending = this.#remember(proof).catch((error: unknown) => {
        this.#spent.delete(proof)
        throw error
      })
      this.#spent.set(proof, spending)
    }

    return spending
  }

  async #remember ({ id, until }: DpopProof): Promise<void> {
    const now = this.#context.clock()
    // As long as it is good by any clock that may be asked next.
    const retention = Math.max(1, until - now + CLOCK_TOLERANCE)
    const once = {
      freeAttempts: 1,
      maxAttempts: 1,
      wait: 0,
      longestWait: 0,
      retention,
      sliding: false
    }

    if (await this.replays.consume(id, now, once) !== null) {
      throw invalid('it was used before')
    }
  }

  // By the server's clock where there is a nonce: it says when it was given, and a client's clock may be wrong.
  #endOf ({ nonce, iat }: DpopProofClaims): Millis {
    const { nonces, clock } = this.#context
    const now = clock()

    if (nonces !== null) {
      if (nonce === null || !nonces.isFresh(nonce, now)) {
        throw new TokenAuthError('AUTH_DPOP_NONCE')
      }

      return now + LONGEST_NONCE
    }

    // Stores hold whole milliseconds.
    const madeAt = Math.floor(iat * 1000)

    if (Math.abs(now - madeAt) > CLOCK_TOLERANCE) {
      throw invalid('iat is too far from the server time')
    }

    return madeAt + CLOCK_TOLERANCE + 1
  }
}

function invalid (hint: string): TokenAuthError {
  return new TokenAuthError('AUTH_DPOP_INVALID', { hint })
}

/** An address without query and fragment, as RFC 3986 section 6.2 compares them; `null` for what is none. */
function normalized (text: string): string | null {
  if (!URL.canParse(text)) {
    return null
  }

  const { protocol, host, pathname, username, password } = new URL(text)

  if (username !== '' || password !== '') {
    return null
  }

  return `${protocol}//${host}${pathname.replace(/%[\da-f]{2}/gi, unescaped)}`
}

// What need not be escaped is not; what must be is in upper case.
function unescaped (escape: string): string {
  const character = String.fromCharCode(parseInt(escape.slice(1), 16))
  return /[\w.~-]/.test(character) ? character : escape.toUpperCase()
}
