// Where proofs of possession come in, and nonces go out: the header `DPoP` of requests, and `DPoP-Nonce` of replies.

import { DpopNonces } from '../dpop/nonces.js'
import { proofAlgorithms } from '../dpop/proof.js'
import type { DpopProof } from '../dpop/verifier.js'
import { DpopVerifier } from '../dpop/verifier.js'
import { TokenAuthError } from '../errors.js'
import type { Logger } from '../events.js'
import type { ResolvedOptions } from '../options/resolve.js'
import { deriveKeys, wrapAttemptStore } from '../services.js'
import { readBearer, readDpopToken } from './authorization.js'
import type { HttpRequest } from './authorization.js'
import { addToHeader } from './headers.js'
import type { FastifyInstance } from 'fastify'

/** The part of a Fastify request that is read. `protocol` and `host` are the client's behind a proxy only with `trustProxy`. */
export interface ProvableRequest extends HttpRequest {
  readonly method: string
  readonly protocol: string
  readonly host: string
  readonly originalUrl: string
  readonly headers: HttpRequest['headers'] & { readonly dpop?: string | string[] | undefined }
}

/** Reads the proof of a request that brings no access token. */
export type GetProof = (request: ProvableRequest) => DpopProof | null

/** */
export class RequestDpop {
  readonly #proofs: DpopVerifier
  readonly #publicUrl: string | undefined
  /** Requests whose client is to be told of another nonce. */
  readonly #behind = new WeakSet<object>()
  /** What requests have proved: two hooks may ask, or a hook and then a handler that opens a session. */
  readonly #known = new WeakMap<object, DpopProof>()

  /** @param publicUrl What stands before the paths of this app for its clients, where the request does not tell. */
  constructor (proofs: DpopVerifier, publicUrl: string | undefined) {
    this.#proofs = proofs
    this.#publicUrl = publicUrl
  }

  /**
   * The proof in a request; `null` where there is none.
   * @throws TokenAuthError AUTH_DPOP_INVALID, AUTH_DPOP_NONCE
   */
  of (request: ProvableRequest, accessToken: string | null = null): DpopProof | null {
    const { headers: { dpop: text }, method, protocol, host, originalUrl } = request

    if (text === undefined) {
      return null
    }

    const url = (this.#publicUrl ?? `${protocol}://${host}`) + originalUrl
    this.#behind.add(request)
    const checked = this.#proofs.verify(String(text), { method, url, accessToken })

    if (checked.nonce === this.#proofs.nonce()) {
      this.#behind.delete(request)
    }

    const known = this.#known.get(request)

    // The same one, which may be spent already: it has not been sent again.
    if (known?.id === checked.id) {
      return known
    }

    this.#known.set(request, checked)
    return checked
  }

  /**
   * Demands that whoever sends an access token holds the key that it is bound to, and has not sent this proof before.
   * @param thumbprint Of that key; `null` where the token is bound to none.
   * @throws TokenAuthError AUTH_ACCESS_INVALID, AUTH_DPOP_INVALID, AUTH_DPOP_NONCE; AUTH_STORE_UNAVAILABLE
   */
  async requireProof (
    request: ProvableRequest,
    accessToken: string,
    thumbprint: string | null
  ): Promise<void> {
    // RFC 9449 section 7.2: as a bearer token it is worth nothing.
    if (thumbprint === null || readBearer(request) === accessToken) {
      throw new TokenAuthError('AUTH_ACCESS_INVALID')
    }

    // A page cannot read its cookie, so its proof names no token: the key that is in the token binds the two.
    const proof = this.of(request, readDpopToken(request) === accessToken ? accessToken : null)

    if (proof === null) {
      throw new TokenAuthError('AUTH_DPOP_INVALID', { hint: 'there is none' })
    }

    if (proof.thumbprint !== thumbprint) {
      throw new TokenAuthError('AUTH_ACCESS_INVALID')
    }

    await this.#proofs.consume(proof)
  }

  /** Lets replies tell what the next proof is to hold, where that has changed (RFC 9449 section 8.2). */
  addNonces (app: FastifyInstance): void {
    app.addHook('onSend', (request, reply, payload, done) => {
      const nonce = this.#behind.has(request) ? this.#proofs.nonce() : null

      if (nonce !== null) {
        reply.headers({ 'dpop-nonce': nonce, 'cache-control': 'no-store' })
        addToHeader(reply, 'access-control-expose-headers', 'dpop-nonce')
      }

      done(null, payload)
    })
  }
}

// What `dpop` adds to the plugin. It is loaded where that is set: the start of an app without it reads none of it.

export interface ProofParts {
  readonly proofs: DpopVerifier
  readonly requestProofs: RequestDpop
  /** The `alg` of proofs that are accepted: for metadata and challenges. */
  readonly algorithms: readonly string[]
}

/** */
export function createProofs (
  options: ResolvedOptions,
  dpop: NonNullable<ResolvedOptions['dpop']>,
  logger: Logger
): ProofParts {
  const { name, secrets, storeTimeout, publicUrl, clock } = options
  const nonces = dpop.nonces ? new DpopNonces(deriveKeys(secrets.base, name, 'nonce')) : null
  const proofs = new DpopVerifier({
    nonces,
    replays: wrapAttemptStore(dpop.replays, storeTimeout, logger),
    clock
  })

  return {
    proofs,
    requestProofs: new RequestDpop(proofs, publicUrl),
    algorithms: proofAlgorithms
  }
}
