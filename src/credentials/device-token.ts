// A device that its user has logged in from before proves it by this, so that strangers who guess the user's password do not
// keep it out (OWASP, device cookies). It signs nobody in, names nobody, and is worth nothing without the password.

import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'

const ID_BYTES = 16
const form = /^([\w-]{22})\.([\w-]{43})$/

export class DeviceTokens {
  readonly #keys: readonly [Buffer, ...Buffer[]]

  /** @param keys The current one, then previous ones. */
  constructor (keys: readonly [Buffer, ...Buffer[]]) {
    this.#keys = keys
  }

  /** @param known The id of a device that is known already; `null` for a new one. */
  issue (userId: string, known: string | null): string {
    const deviceId = known ?? randomBytes(ID_BYTES).toString('base64url')
    return `${deviceId}.${macOf(this.#keys[0], userId, deviceId).toString('base64url')}`
  }

  /** The id of the device that a token was issued to with this user; `null` for everything else. */
  read (token: string, userId: string): string | null {
    const [, deviceId, mac] = form.exec(token) ?? []
    if (deviceId === undefined || mac === undefined) return null
    const given = Buffer.from(mac, 'base64url')
    return this.#keys.some(key => timingSafeEqual(macOf(key, userId, deviceId), given)) ? deviceId : null
  }
}

function macOf (key: Buffer, userId: string, deviceId: string): Buffer {
  return createHmac('sha256', key).update(`${deviceId}.${userId}`).digest()
}
