import { isRecord } from './claims.js'
import { encodeHeader, encodePayload } from './jwt-codec.js'
import type { JwtSigner, JwtSigners } from './jwt-codec.js'
import { DERIVED_KEY } from './keys.js'
import type { AppKey, AppKeys } from './keys.js'
import { createSignature, isCanonicalSignature } from './signatures.js'

/**
 * Creates a signer for each key of the app, for tokens of type `typ`.
 *
 * @param derived - Signers for the entry `'secret'` of `keys`.
 */
export function createSigners (
  keys: AppKeys,
  typ: string,
  derived: readonly JwtSigner[]
): JwtSigners {
  return keys.flatMap(key =>
    key === DERIVED_KEY ? derived : [createKeySigner(key, typ)]
  ) as unknown as JwtSigners
}

/**
 * Adds the claim `realm` to the tokens that signers verify.
 *
 * Tokens that were issued before the app set the option `keys` have no such claim. Only this realm
 * can have signed them, because derived keys differ by realm.
 *
 * @param realm - `null` for the default realm, whose tokens never have the claim.
 */
export function addRealm (signers: JwtSigners, realm: string | null): JwtSigners {
  if (realm === null) {
    return signers
  }

  return signers.map((signer): JwtSigner => ({
    ...signer,
    verify (token) {
      const claims = signer.verify(token)
      return isRecord(claims) ? { ...claims, realm } : claims
    }
  })) as unknown as JwtSigners
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
