import type { FastifyInstance } from 'fastify'
import type { KeyRing } from '../../tokens/key-ring.js'

// A key is announced before it signs, for as long as verifiers keep what they have read.
const KEPT = 'public, max-age=300'

/** GET jwks: the public keys by which others verify access tokens (RFC 7517 section 5). */
export function addJwksRoute (scope: FastifyInstance, url: string, keys: KeyRing): void {
  scope.get(
    url,
    { config: { tokenAuth: 'public' } },
    async (_request, reply) =>
      reply.type('application/jwk-set+json').header('cache-control', KEPT).send(
        JSON.stringify({ keys: keys.publicKeys })
      )
  )
}
