import { generateKeyPairSync } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { readKey } from '../../tokens/keys.js'
import type { CommandHandler } from '../command.js'
import { usageError } from '../errors.js'

/** Prints a new key pair for the option `keys`. */
export const printKey: CommandHandler = async ({ values }) => {
  const { alg = 'EdDSA', format = 'pem' } = values

  if (format !== 'pem' && format !== 'jwk') {
    throw usageError('"--format" must be pem or jwk')
  }

  const privateKey = createPrivateKey(alg)
  const { kid, publicJwk, verifying } = readKey(privateKey)
  const privateJwk = { ...privateKey.export({ format: 'jwk' }), kid, alg, use: 'sig' }
  const privatePem = exportPem(privateKey, 'pkcs8')
  const publicPem = exportPem(verifying, 'spki')

  return {
    document: { alg, kid, privatePem, publicPem, privateJwk, publicJwk },
    text: format === 'pem' ? privatePem : JSON.stringify(privateJwk),
    note: [
      `Algorithm: ${alg}`,
      `Key ID: ${kid}`,
      format === 'pem' ? publicPem : JSON.stringify(publicJwk)
    ].join('\n')
  }
}

function createPrivateKey (alg: string): KeyObject {
  switch (alg) {
    case 'EdDSA':
      return generateKeyPairSync('ed25519').privateKey
    case 'ES256':
      return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
    default:
      throw usageError('"--alg" must be EdDSA or ES256')
  }
}

function exportPem (key: KeyObject, type: 'pkcs8' | 'spki'): string {
  return String(key.export({ type, format: 'pem' }))
}
