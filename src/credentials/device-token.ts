// A device that its user has logged in from before proves it by this, so that strangers who guess the user's password do not
// keep it out (OWASP, device cookies). It signs nobody in, names nobody, and is worth nothing without the password.

import { randomBytes, timingSafeEqual } from 'node:crypto'
import { createMac } from './hmac.js'

const ID_BYTES = 16
const form = /^([\w-]{22})\.([\w-]{43})$/

export class DeviceTokens {
  readonly #macs: ReadonlyArray<(text: string) => string>

  /** @param keys The current one, then previous ones. */
  constructor (keys: readonly [Buffer, ...Buffer[]]) {
    this.#macs = keys.map(key => createMac('sha256', key))
  }

  /** @param known The id of a device that is known already; `null` for a new one. */
  issue (userId: string, known: string | null): string {
    const deviceId = known ?? randomBytes(ID_BYTES).toString('base64url')
    return `${deviceId}.${this.#codesOf(userId, deviceId)[0]}`
  }

  /** The id of the device that a token was issued to with this user; `null` for everything else. */
  read (token: string, userId: string): string | null {
    const [, deviceId, code] = form.exec(token) ?? []
    if (deviceId === undefined || code === undefined) return null
    const given = Buffer.from(code)
    return this.#codesOf(userId, deviceId).some(right => timingSafeEqual(Buffer.from(right), given)) ? deviceId : null
  }

  #codesOf (userId: string, deviceId: string): string[] {
    return this.#macs.map(mac => mac(`${deviceId}.${userId}`))
  }
}
