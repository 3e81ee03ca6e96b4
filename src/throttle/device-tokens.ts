// A device that its user has logged in from before proves it by this, so that strangers who guess the user's password do not
// keep it out (OWASP, device cookies). It signs nobody in, names nobody, and is worth nothing without the password.

import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import type { SigningKey } from '../tokens/key-derivation.js'

const ID_BYTES = 16
const form = /^([\w-]{22})\.([\w-]{43})$/

/** */
export class DeviceTokens {
  readonly #keys: readonly [SigningKey, ...SigningKey[]]

  /** @param keys - The first one signs, all of them verify. */
  constructor (keys: readonly [SigningKey, ...SigningKey[]]) {
    this.#keys = keys
  }

  /** @param known The id of a device that is known already; `null` for a new one. */
  issue (userId: string, known: string | null): string {
    const deviceId = known ?? randomBytes(ID_BYTES).toString('base64url')
    return `${deviceId}.${createMac(this.#keys[0], userId, deviceId).toString('base64url')}`
  }

  /** The id of the device that a token was issued to with this user; `null` for everything else. */
  read (token: string, userId: string): string | null {
    const [, deviceId, signature] = form.exec(token) ?? []

    if (deviceId === undefined || signature === undefined) {
      return null
    }

    const mac = Buffer.from(signature, 'base64url')
    const isAuthentic = this.#keys.some(key =>
      timingSafeEqual(mac, createMac(key, userId, deviceId))
    )
    return isAuthentic ? deviceId : null
  }
}

function createMac ({ key }: SigningKey, userId: string, deviceId: string): Buffer {
  return createHmac('sha256', key).update(`${deviceId}.${userId}`).digest()
}
