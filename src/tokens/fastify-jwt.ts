import fastifyJwt from '@fastify/jwt'
import type { FastifyInstance } from 'fastify'
import type { JwtSigner, JwtSigners } from './jwt-codec.js'
import type { SigningKeys } from './key-derivation.js'

interface Namespace {
  sign(claims: object): string
  verify(token: string): unknown
}

/**
 * Hides the `jwt` decorator of the host app from a scope.
 *
 * Otherwise @fastify/jwt would add our namespaces to the host's own `app.jwt` object.
 */
export function shadowJwtDecorator (scope: FastifyInstance): void {
  // `decorate` assigns, which fails if the host's decorator is read-only or has only a getter.
  Object.defineProperty(scope, 'jwt', { value: Object.create(null), configurable: true })
}

/**
 * Creates one @fastify/jwt signer for each derived key, all for tokens of one type.
 *
 * Registers one namespace for each key in `scope`, which must shadow the host's decorator.
 * The library checks signatures only: `JwtCodec` checks the form, and our code checks times with
 * the registration's clock.
 *
 * @param keys - The first one signs, all of them verify.
 */
export async function createFastifyJwtSigners (
  scope: FastifyInstance,
  typ: string,
  keys: SigningKeys
): Promise<JwtSigners> {
  const signers: JwtSigner[] = []

  for (const { id: kid, key } of keys) {
    const namespace = `tokenAuth_${typ}_${kid}`
    await scope.register(fastifyJwt, {
      namespace,
      secret: key,
      sign: { algorithm: 'HS256', kid, header: { alg: 'HS256', typ } },
      verify: {
        algorithms: ['HS256'],
        checkTyp: typ,
        ignoreExpiration: true,
        ignoreNotBefore: true,
        // `AccessVerifier` caches verified tokens.
        cache: false
      }
    })

    const { sign, verify } = readNamespace(scope, namespace)
    signers.push({ kid, alg: 'HS256', sign, verify })
  }

  return signers as unknown as JwtSigners
}

// @fastify/jwt has no types for namespaces, and an augmentation would reach consumers.
function readNamespace (scope: FastifyInstance, namespace: string): Namespace {
  const { jwt } = scope as unknown as { readonly jwt: Readonly<Record<string, Namespace>> }
  return jwt[namespace] as Namespace
}
