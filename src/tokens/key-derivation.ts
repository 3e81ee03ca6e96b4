// From the app's secret to signing keys: one for each name, kind of token and secret, none of which tells another.

import { hkdfSync } from 'node:crypto'

/** What a key is for: one kind of token, what attempts are counted by, or what proofs of possession are to hold. */
export type KeyPurpose = 'access' | 'refresh' | 'device' | 'attempts' | 'nonce'

export interface SigningKey {
  /** Tells the keys of one kind apart; travels as `kid` (RFC 7515 section 4.1.4). */
  readonly id: string
  readonly key: Buffer
}

const MIN_BYTES = 32
const MIN_DISTINCT = 10

// As texts of READMEs and tutorials have them; the hexadecimal one is that of FastAPI's.
const placeholders =
  /change.?me|change.?this|your.?(own.?)?(jwt.?|auth.?)?(secret|key)|super.?secret|my.?secret|secret.?key|placeholder|example|password|abcdefgh|12345678|at.least.\d+.(bit|byte|char)|09d25e094faa6ca2556c818166b7a956/i

/**
 * Why a secret cannot be used, or `null`. The weakness of a secret that is long enough cannot be measured; these are the
 * ones that people really deploy.
 */
export function findWeakness (secret: string | Uint8Array): string | null {
  const bytes = Buffer.from(secret as string)

  if (bytes.length < MIN_BYTES) {
    return `is ${bytes.length} bytes long, ${MIN_BYTES} are needed`
  }

  if (new Set(bytes).size < MIN_DISTINCT) {
    return `has fewer than ${MIN_DISTINCT} distinct characters`
  }

  if (placeholders.test(bytes.toString('latin1'))) {
    return 'is a known placeholder'
  }

  return null
}

/** HKDF (RFC 5869) with SHA-256: the same secret gives independent keys for each registration and kind. */
export function deriveKey (
  secret: string | Uint8Array,
  name: string,
  kind: KeyPurpose
): SigningKey {
  const derive = (use: string, length: number): Buffer =>
    Buffer.from(
      hkdfSync(
        'sha256',
        Buffer.from(secret as string),
        '',
        `fastify-token-auth/${name}/${kind}/${use}`,
        length
      )
    )
  return { id: derive('kid', 9).toString('base64url'), key: derive('key', 32) }
}
