import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import type { SigningKey, SigningKeys } from '../tokens/key-derivation.js'

const ID_BYTES = 16
const TOKEN_FORMAT = /^([\w-]{22})\.([\w-]{43})$/

/** User and stored password hash that a device token is valid for. */
export interface DeviceAccount {
  readonly userId: string
  readonly passwordHash: string
}

/** Device on which a user has logged in before. */
export interface KnownDevice {
  readonly id: string
  /** Whether the user has passed the second factor on it. */
  readonly isTrusted: boolean
}

/**
 * Issues and reads device tokens (OWASP, device cookies).
 *
 * A device token proves that a user has logged in on this device before. Failed logins of other
 * devices do not lock such a device out. The token contains no user ID, and does not replace the
 * password. It becomes invalid when the stored password hash changes.
 */
export class DeviceTokens {
  readonly #keys: SigningKeys

  constructor (keys: SigningKeys) {
    this.#keys = keys
  }

  /**
   * @param known - The device, if it is known; `null` for a new one.
   * @param isTrusted - Whether the user has passed the second factor on the device, now or before.
   */
  issue (account: DeviceAccount, known: KnownDevice | null, isTrusted = false): string {
    const id = known?.id ?? randomBytes(ID_BYTES).toString('base64url')
    const device = { id, isTrusted: isTrusted || known?.isTrusted === true }
    return `${id}.${createMac(this.#keys[0], account, device)}`
  }

  /**
   * @returns The device; `null` if the token is invalid, belongs to another user, or is
   * older than the password.
   */
  read (token: string, account: DeviceAccount): KnownDevice | null {
    const [, id, signature] = TOKEN_FORMAT.exec(token) ?? []

    if (id === undefined || signature === undefined) {
      return null
    }

    const devices = [{ id, isTrusted: true }, { id, isTrusted: false }]

    // Compares strings, because several strings decode to the same bytes.
    return devices.find(device =>
      this.#keys.some(key =>
        timingSafeEqual(Buffer.from(signature), Buffer.from(createMac(key, account, device)))
      )
    ) ?? null
  }
}

function createMac (
  { key }: SigningKey,
  { userId, passwordHash }: DeviceAccount,
  { id, isTrusted }: KnownDevice
): string {
  return createHmac('sha256', key)
    .update(JSON.stringify([id, userId, passwordHash, ...(isTrusted ? ['second-factor'] : [])]))
    .digest('base64url')
}
