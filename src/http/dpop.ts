import type { FastifyInstance } from 'fastify'
import { proofAlgorithms } from '../dpop/proof.js'
import type { DpopProof, DpopVerifier } from '../dpop/verifier.js'
import { createMissingProofError, TokenAuthError } from '../errors.js'
import type { ErrorCode } from '../protocol.js'
import { readBearerToken, readDpopToken } from './authorization.js'
import type { HttpRequest } from './authorization.js'
import { addToHeader } from './headers.js'

/**
 * Part of a Fastify request that a DPoP proof is verified against.
 *
 * Behind a proxy, `protocol` and `host` are the client's only with `trustProxy`.
 */
export interface DpopRequest extends HttpRequest {
  readonly method: string
  readonly protocol: string
  readonly host: string
  readonly originalUrl: string
  readonly headers: HttpRequest['headers'] & { readonly dpop?: string | string[] | undefined }
}

/** Reads the DPoP proof of a request without an access token, or returns `null`. */
export type GetProof = (request: DpopRequest) => DpopProof | null

/** Reads and verifies the `DPoP` header of requests, and sends nonces (RFC 9449). */
export class RequestDpop {
  readonly #verifier: DpopVerifier
  readonly #publicUrl: string | undefined
  /** Requests whose client needs a newer nonce. */
  readonly #needsNonce = new WeakSet<object>()
  /** Verified proofs. Several hooks and a handler may ask for the proof of one request. */
  readonly #proofs = new WeakMap<object, DpopProof>()

  /** @param publicUrl - URL before the paths of the app, if it differs from the request's. */
  constructor (verifier: DpopVerifier, publicUrl: string | undefined) {
    this.#verifier = verifier
    this.#publicUrl = publicUrl
  }

  /** Accepted `alg` values of proofs, for metadata and challenges. */
  get algorithms (): readonly string[] {
    return proofAlgorithms
  }

  /**
   * Reads and verifies the proof of a request. Does not consume it.
   *
   * @returns `null` if there is none.
   * @throws TokenAuthError `AUTH_DPOP_INVALID` or `AUTH_DPOP_NONCE`
   */
  getProof (request: DpopRequest, accessToken: string | null = null): DpopProof | null {
    const { headers: { dpop: header }, method, protocol, host, originalUrl } = request

    if (header === undefined) {
      return null
    }

    const url = (this.#publicUrl ?? `${protocol}://${host}`) + originalUrl
    this.#needsNonce.add(request)
    const proof = this.#verifier.verify(String(header), { method, url, accessToken })

    if (proof.nonce === this.#verifier.nonce()) {
      this.#needsNonce.delete(request)
    }

    const known = this.#proofs.get(request)

    // The first object may be consumed already, and the proof was not sent again.
    if (known?.id === proof.id) {
      return known
    }

    this.#proofs.set(request, proof)
    return proof
  }

  /**
   * Requires a proof of the key that an access token is bound to, and consumes it.
   *
   * @param thumbprint - Thumbprint of the key, or `null` if the token is not bound.
   * @throws TokenAuthError `AUTH_ACCESS_INVALID`, `AUTH_DPOP_INVALID`, `AUTH_DPOP_NONCE` or
   * `AUTH_STORE_UNAVAILABLE`
   */
  async requireProof (
    request: DpopRequest,
    accessToken: string,
    thumbprint: string | null
  ): Promise<void> {
    // A bound token must not be sent as a bearer token (RFC 9449, section 7.2).
    if (thumbprint === null || readBearerToken(request) === accessToken) {
      throw new TokenAuthError('AUTH_ACCESS_INVALID')
    }

    // A page cannot read a token in a cookie, so its proof has no `ath`. The thumbprint suffices.
    const inHeader = readDpopToken(request) === accessToken
    const proof = this.getProof(request, inHeader ? accessToken : null)
    await this.#consume(proof, thumbprint, 'AUTH_ACCESS_INVALID')
  }

  /**
   * Requires a proof of the key that a refresh token is bound to, and consumes it.
   *
   * @throws TokenAuthError `AUTH_DPOP_INVALID`, `AUTH_DPOP_NONCE`, `AUTH_REFRESH_INVALID` or
   * `AUTH_STORE_UNAVAILABLE`
   */
  async requireProofOfKey (request: DpopRequest, thumbprint: string): Promise<void> {
    await this.#consume(this.getProof(request), thumbprint, 'AUTH_REFRESH_INVALID')
  }

  /** @param code - Code of the error if the proof is of another key than the token. */
  async #consume (proof: DpopProof | null, thumbprint: string, code: ErrorCode): Promise<void> {
    if (proof === null) {
      throw createMissingProofError()
    }

    if (proof.thumbprint !== thumbprint) {
      throw new TokenAuthError(code)
    }

    await this.#verifier.consume(proof)
  }

  /** Adds the next nonce to responses whose client has an older one (RFC 9449, section 8.2). */
  addNonceHeaders (app: FastifyInstance): void {
    app.addHook('onSend', (request, reply, payload, done) => {
      const nonce = this.#needsNonce.has(request) ? this.#verifier.nonce() : null

      if (nonce !== null) {
        reply.headers({ 'dpop-nonce': nonce, 'cache-control': 'no-store' })
        addToHeader(reply, 'access-control-expose-headers', 'dpop-nonce')
      }

      done(null, payload)
    })
  }
}
