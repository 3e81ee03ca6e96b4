// @fastify/jwt signs and verifies. It is registered in the child scope, once a key, and what it makes is handed on as
// functions, so that nothing else knows of it and nothing of it shows in the app.

import fastifyJwt from '@fastify/jwt'
import type { FastifyInstance } from 'fastify'
import type { Claims, JwtSigner } from './credentials/jwt.js'
import type { SigningKey } from './credentials/keys.js'

const ALGORITHM = 'HS256'

/** What @fastify/jwt leaves on an instance under a namespace. */
type Namespaces = Readonly<Record<string, { sign (claims: Claims): string, verify (token: string): unknown }>>

/** Keeps @fastify/jwt from writing its namespaces into the app's own `app.jwt`, which a scope inherits. */
export function shadowJwt (scope: FastifyInstance): void {
  scope.decorate('jwt', Object.create(null))
}

/** A signer that was made once: @fastify/jwt makes a new one wherever it is given options with a call. */
export async function createSigner (scope: FastifyInstance, { id, key }: SigningKey, typ: string): Promise<JwtSigner> {
  const namespace = `tokenAuth${typ}${id}`
  await scope.register(fastifyJwt, {
    secret: key,
    namespace,
    sign: { algorithm: ALGORITHM, kid: id, header: { alg: ALGORITHM, typ } },
    // Times are judged by the plugin's own clock.
    verify: { algorithms: [ALGORITHM], ignoreExpiration: true, ignoreNotBefore: true, cache: false }
  })
  const { sign, verify } = (scope.jwt as unknown as Namespaces)[namespace] as Namespaces[string]
  return { kid: id, alg: ALGORITHM, sign: claims => sign(claims), verify: token => verify(token) }
}
