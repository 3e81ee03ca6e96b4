import Fastify from 'fastify'
import { createFastifyJwtSigners, shadowJwtDecorator } from '../../src/tokens/fastify-jwt.js'
import { JwtCodec } from '../../src/tokens/jwt-codec.js'
import type { SigningKey } from '../../src/tokens/key-derivation.js'

/** Creates a codec whose signers are those that the plugin uses for secrets. */
export async function createSecretCodec (
  typ: string,
  ...keys: [SigningKey, ...SigningKey[]]
): Promise<JwtCodec> {
  const app = Fastify()
  shadowJwtDecorator(app)
  return new JwtCodec(typ, await createFastifyJwtSigners(app, typ, keys))
}
