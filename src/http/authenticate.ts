// The onRequest hook: bearer token or cookie -> request.auth. It answers by a callback and does no I/O, but for a token that is
// to be renewed or is bound to a key, since it stands before every request of an app.

import type { FastifyContextConfig } from 'fastify'
import { readBearer, readDpopToken } from './authorization.js'
import { TokenAuthError } from '../errors.js'
import { assertTrustedOrigin, isUnsafe } from './csrf.js'
import type { OriginRequest } from './csrf.js'
import type { RenewedToken } from './renewed-tokens.js'
import type { ProvableRequest, RequestDpop } from './dpop.js'
import type { TransportSettings } from './token-transport.js'
import type { AccessVerifier, Auth, VerifiedToken } from '../sessions/access-verifier.js'
import type { Renewal } from '../sessions/renewal.js'

/** The part of a Fastify request that {@link Authenticate} reads and writes. */
export interface AuthenticatedRequest extends ProvableRequest, OriginRequest {
  readonly routeOptions: { readonly config: FastifyContextConfig }
  readonly headers: ProvableRequest['headers'] & OriginRequest['headers']
  auth: Auth | null
}

/** A Fastify `onRequest` hook, also good as a function of `@fastify/auth`. */
export type Authenticate = (
  request: AuthenticatedRequest,
  reply: unknown,
  done: (error?: Error) => void
) => void

export interface AuthenticateContext {
  readonly access: AccessVerifier
  readonly transport: Pick<TransportSettings, 'accessCookie' | 'origins'>
  /** `null` where access tokens are not renewed silently. */
  readonly renewal: Renewal | null
  /** Takes a renewed token for the reply. */
  readonly send: (request: object, renewed: RenewedToken) => void
  /** `null` where no token is bound to a key. */
  readonly dpop: RequestDpop | null
}

/** */
export function createAuthenticate (
  { access, transport, renewal, send, dpop: proofs }: AuthenticateContext
): Authenticate {
  const { accessCookie, origins } = transport

  function readCookie (request: AuthenticatedRequest): string | null {
    const token = accessCookie?.read(request) ?? null

    if (token !== null && isUnsafe(request)) {
      assertTrustedOrigin(request, origins)
    }

    return token
  }

  async function prove (
    request: AuthenticatedRequest,
    token: string,
    admitted: VerifiedToken
  ): Promise<void> {
    await proofs?.requireProof(request, token, admitted.thumbprint)
    access.confirm(admitted)
  }

  async function renew (
    request: AuthenticatedRequest,
    token: string,
    admitted: VerifiedToken,
    inCookie: boolean
  ): Promise<void> {
    const next = renewal?.isDue(admitted) === true ? await renewal.next(token, admitted) : null

    if (next !== null) {
      send(request, { ...next, inCookie })
    }
  }

  return function authenticate (request, _reply, done) {
    if (request.routeOptions.config?.tokenAuth === 'public') {
      return done()
    }

    try {
      const bearer = readBearer(request)
      const proven = bearer === null && proofs !== null ? readDpopToken(request) : null
      const inHeader = bearer ?? proven
      const token = inHeader ?? readCookie(request)

      if (token === null) {
        throw new TokenAuthError('AUTH_ACCESS_MISSING')
      }

      const admitted = access.verify(
        token,
        inHeader === null ? token : request.headers.authorization
      )
      const isProven = proofs !== null && (proven !== null || admitted.thumbprint !== null)

      if (isProven || renewal?.isDue(admitted) === true) {
        const proof = isProven ? prove(request, token, admitted) : Promise.resolve()
        proof
          .then(() => renew(request, token, admitted, inHeader === null))
          .then(() => {
            request.auth = admitted.auth
            done()
          }, done)
        return
      }

      request.auth = admitted.auth
    } catch (error) {
      return done(error as Error)
    }

    done()
  }
}
