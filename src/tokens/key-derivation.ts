import { hkdfSync } from 'node:crypto'

/** Purpose of a derived key. Keys of different purposes are independent. */
export type KeyPurpose =
  | 'access'
  | 'refresh'
  | 'device'
  | 'attempts'
  | 'nonce'
  | 'seen'
  | 'one-time'
  | 'one-time-state'
  | 'one-time-session'
  | 'recovery'

/** Secret key with its ID. */
export interface SigningKey {
  /** Key ID, the `kid` header member (RFC 7515, section 4.1.4). */
  readonly id: string
  readonly key: Buffer
}

/** At least one key. The first one signs, all of them verify. */
export type SigningKeys = readonly [SigningKey, ...SigningKey[]]

/** Current secret, followed by previous ones that are still accepted. */
export type Secrets = readonly [string | Uint8Array, ...Array<string | Uint8Array>]

const MIN_BYTES = 32
const MIN_DISTINCT_BYTES = 10

// Secrets from READMEs and tutorials. The hexadecimal one is from the FastAPI documentation.
const PLACEHOLDERS = new RegExp(
  [
    'change.?me|change.?this|your.?(own.?)?(jwt.?|auth.?)?(secret|key)',
    'super.?secret|my.?secret|secret.?key|placeholder|example|password',
    'abcdefgh|12345678|at.least.\\d+.(bit|byte|char)|09d25e094faa6ca2556c818166b7a956'
  ].join('|'),
  'i'
)

/**
 * Finds the reason why a secret is too weak.
 *
 * The entropy of a secret cannot be measured. This check finds the mistakes that are common in
 * production: short secrets, repeated characters and placeholders.
 *
 * @returns An error message without its subject, such as `is 5 bytes long`, or `null` if the secret
 * is strong enough.
 */
export function findWeakness (secret: string | Uint8Array): string | null {
  const bytes = Buffer.from(secret as string)

  if (bytes.length < MIN_BYTES) {
    return `is ${bytes.length} bytes long`
  }

  if (new Set(bytes).size < MIN_DISTINCT_BYTES) {
    return `has fewer than ${MIN_DISTINCT_BYTES} distinct characters`
  }

  return PLACEHOLDERS.test(bytes.toString('latin1')) ? 'is a known placeholder' : null
}

/** Derives an independent key for each registration and purpose by HKDF-SHA-256 (RFC 5869). */
export function deriveKey (
  secret: string | Uint8Array,
  name: string,
  purpose: KeyPurpose
): SigningKey {
  const derive = (use: string, length: number): Buffer => {
    const info = `fastify-token-auth/${name}/${purpose}/${use}`
    return Buffer.from(hkdfSync('sha256', Buffer.from(secret as string), '', info, length))
  }

  return { id: derive('kid', 9).toString('base64url'), key: derive('key', 32) }
}

/** Derives one key from each secret, in the same order. */
export function deriveKeys (
  secrets: Secrets,
  name: string,
  purpose: KeyPurpose
): SigningKeys {
  return secrets.map(secret => deriveKey(secret, name, purpose)) as unknown as SigningKeys
}
