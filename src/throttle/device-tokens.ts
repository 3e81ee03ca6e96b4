// A device that its user has logged in from before proves it by this, so that strangers who guess the user's password do not
// keep it out (OWASP, device cookies). It signs nobody in, names nobody, and is worth nothing without the password.

import { randomBytes } from 'node:crypto'
import type { JwtSigner } from '../tokens/jwt-codec.js'

const ID_BYTES = 16
const form = /^([\w-]{22})\.([\w-]{43})$/

/** */
export class DeviceTokens {
  readonly #signers: readonly [JwtSigner, ...JwtSigner[]]

  /** @param signers The first one signs; all of them verify. */
  constructor (signers: readonly [JwtSigner, ...JwtSigner[]]) {
    this.#signers = signers
  }

  /** @param known The id of a device that is known already; `null` for a new one. */
  issue (userId: string, known: string | null): string {
    const deviceId = known ?? randomBytes(ID_BYTES).toString('base64url')
    return `${deviceId}.${this.#signers[0].sign(signed(userId, deviceId))}`
  }

  /** The id of the device that a token was issued to with this user; `null` for everything else. */
  read (token: string, userId: string): string | null {
    const [, deviceId, signature] = form.exec(token) ?? []

    if (deviceId === undefined || signature === undefined) {
      return null
    }

    return this.#signers.some(signer => signer.verify(signed(userId, deviceId), signature))
      ? deviceId
      : null
  }
}

function signed (userId: string, deviceId: string): string {
  return `${deviceId}.${userId}`
}
