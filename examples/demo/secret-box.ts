import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'

const NONCE_BYTES = 12
const TAG_BYTES = 16

/**
 * Encrypts TOTP secrets with AES-256-GCM, so that a copy of the database alone is useless.
 *
 * The ID of the user is additional data: a secret that was copied to another user is rejected.
 */
export class SecretBox {
  readonly #key: Uint8Array

  /** @param secret - Random string that is not in the database. */
  constructor (secret: string) {
    this.#key = new Uint8Array(hkdfSync('sha256', secret, '', 'demo totp secrets', 32))
  }

  encrypt (userId: string, secret: string): string {
    const nonce = randomBytes(NONCE_BYTES)
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce).setAAD(Buffer.from(userId))
    const encrypted = Buffer.concat([cipher.update(secret, 'utf8'), cipher.final()])
    return Buffer.concat([nonce, cipher.getAuthTag(), encrypted]).toString('base64')
  }

  /** @throws Error if the secret was changed, or belongs to another user. */
  decrypt (userId: string, sealed: string): string {
    const bytes = Buffer.from(sealed, 'base64')
    const nonce = bytes.subarray(0, NONCE_BYTES)
    const tag = bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES)
    const decipher = createDecipheriv('aes-256-gcm', this.#key, nonce, { authTagLength: TAG_BYTES })
      .setAAD(Buffer.from(userId))
      .setAuthTag(tag)
    const encrypted = bytes.subarray(NONCE_BYTES + TAG_BYTES)
    return Buffer.concat([decipher.update(encrypted), decipher.final()]).toString('utf8')
  }
}
