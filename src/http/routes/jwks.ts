import type { FastifyInstance } from 'fastify'
import type { KeyRing } from '../../tokens/key-ring.js'
import type { DescribeRoute } from '../openapi.js'
import { routeDocs } from '../route-docs.js'

// Not longer than an app announces a new key before it signs. See `rotateKeys`.
const CACHE_CONTROL = 'public, max-age=300'

/** Adds `GET jwks`: the public keys that verify access tokens (RFC 7517, section 5). */
export function addJwksRoute (
  scope: FastifyInstance,
  url: string,
  keys: KeyRing,
  describe: DescribeRoute
): void {
  scope.get(url, describe(routeDocs.jwks), async (_request, reply) =>
    reply
      .type('application/jwk-set+json')
      .header('cache-control', CACHE_CONTROL)
      .send(JSON.stringify({ keys: keys.publicKeys })))
}
