import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import type { SigningKey, SigningKeys } from '../tokens/key-derivation.js'

const ID_BYTES = 16
const TOKEN_FORMAT = /^([\w-]{22})\.([\w-]{43})$/

/** User and stored password hash that a device token is valid for. */
export interface DeviceAccount {
  readonly userId: string
  readonly passwordHash: string
}

/**
 * Issues and reads device tokens (OWASP, device cookies).
 *
 * A device token proves that a user has logged in on this device before. Failed logins of other
 * devices do not lock such a device out. The token contains no user ID, and is useless without the
 * password. It ends when the stored password hash changes.
 */
export class DeviceTokens {
  readonly #keys: SigningKeys

  constructor (keys: SigningKeys) {
    this.#keys = keys
  }

  /** @param knownId - ID of a known device; `null` for a new one. */
  issue (account: DeviceAccount, knownId: string | null): string {
    const deviceId = knownId ?? randomBytes(ID_BYTES).toString('base64url')
    return `${deviceId}.${createMac(this.#keys[0], account, deviceId)}`
  }

  /**
   * @returns The ID of the device; `null` if the token is invalid, belongs to another user, or is
   * older than the password.
   */
  read (token: string, account: DeviceAccount): string | null {
    const [, deviceId, signature] = TOKEN_FORMAT.exec(token) ?? []

    if (deviceId === undefined || signature === undefined) {
      return null
    }

    // Compares strings, because several strings decode to the same bytes.
    const isAuthentic = this.#keys.some(key =>
      timingSafeEqual(Buffer.from(signature), Buffer.from(createMac(key, account, deviceId)))
    )
    return isAuthentic ? deviceId : null
  }
}

function createMac (
  { key }: SigningKey,
  { userId, passwordHash }: DeviceAccount,
  deviceId: string
): string {
  return createHmac('sha256', key)
    .update(JSON.stringify([deviceId, userId, passwordHash]))
    .digest('base64url')
}
