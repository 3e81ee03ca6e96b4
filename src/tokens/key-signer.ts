import { encodeHeader, encodePayload } from './jwt-codec.js'
import type { JwtSigner, JwtSigners } from './jwt-codec.js'
import type { AppKey, AppKeys } from './keys.js'
import { createSignature, isCanonicalSignature } from './signatures.js'

/** Creates a signer for each key of the app, for tokens of type `typ`. */
export function createSigners (keys: AppKeys, typ: string): JwtSigners {
  return keys.map(key => createKeySigner(key, typ)) as unknown as JwtSigners
}

/**
 * Creates a signer from one key of the app, by node:crypto.
 *
 * It does not use `@fastify/jwt`, because `rotateKeys` replaces these keys while the app runs, and
 * Fastify rejects registrations after startup.
 */
export function createKeySigner (key: AppKey, typ: string): JwtSigner {
  const { kid, alg, signing, verifying } = key
  const header = encodeHeader(key, typ)

  return {
    kid,
    alg,
    sign (claims) {
      if (signing === null) {
        throw new Error('Public keys can only verify')
      }

      const input = header + encodePayload(claims)
      return `${input}.${createSignature(input, alg, signing).toString('base64url')}`
    },
    verify (token) {
      const [start, end] = [token.indexOf('.'), token.lastIndexOf('.')]
      const signature = Buffer.from(token.slice(end + 1), 'base64url')

      if (!isCanonicalSignature(token.slice(0, end), signature, alg, verifying)) {
        throw new Error('Signature is invalid')
      }

      return JSON.parse(Buffer.from(token.slice(start + 1, end), 'base64url').toString())
    }
  }
}
