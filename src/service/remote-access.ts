// Access tokens that another service has issued, in use: admitted by its public keys. What was verified once is remembered for as
// long as the token is good and its key is the issuer's.

import { readAccessClaims } from '../credentials/access-token.js'
import type { AccessToken } from '../credentials/access-token.js'
import { isText, isTexts } from '../credentials/jwt.js'
import type { Claims } from '../credentials/jwt.js'
import type { AppKey } from '../credentials/key-pairs.js'
import type { RemoteKeys } from '../credentials/remote-keys.js'
import type { Millis } from '../domain/session.js'
import { TokenAuthError } from '../errors.js'
import type { Auth } from './access.js'
import { TextMap } from './text-map.js'

export interface RemoteAccessContext {
  readonly keys: RemoteKeys
  readonly issuer: string
  readonly audience: string
  /** How many verified tokens are remembered. */
  readonly cacheSize: number
  readonly clock: () => Millis
}

interface Verified {
  readonly auth: Auth
  readonly key: AppKey
  /** When it was verified: a clock that says less was ahead then. */
  readonly at: Millis
}

export class RemoteAccess {
  readonly #context: RemoteAccessContext
  // By the whole text, since two texts may carry one signature.
  readonly #verified: TextMap<Verified>

  constructor (context: RemoteAccessContext) {
    this.#context = context
    this.#verified = new TextMap(context.cacheSize)
  }

  /**
   * Who sent it, where that is remembered; `null` where it is to be verified.
   * @throws TokenAuthError AUTH_ACCESS_EXPIRED
   */
  recall (token: string): Auth | null {
    const remembered = this.#verified.get(token)
    if (remembered === undefined) return null
    const { auth, key, at } = remembered
    const now = this.#context.clock()
    if (at > now || !this.#context.keys.holds(key, now)) return null
    if (now >= auth.expiresAt) {
      this.#verified.delete(token)
      throw new TokenAuthError('AUTH_ACCESS_EXPIRED')
    }
    return auth
  }

  /** @throws TokenAuthError AUTH_ACCESS_INVALID, AUTH_ACCESS_EXPIRED, AUTH_KEYS_UNAVAILABLE */
  async verify (token: string): Promise<Auth> {
    const { keys, clock } = this.#context
    const opened = await keys.open(token)
    const now = clock()
    const read = opened === null ? null : this.#read(opened.claims, now)
    if (opened === null || read === null) throw new TokenAuthError('AUTH_ACCESS_INVALID')
    const { userId, sessionId, authenticatedAt, amr, claims, expiresAt } = read
    if (now >= expiresAt) throw new TokenAuthError('AUTH_ACCESS_EXPIRED')
    const auth = Object.freeze({ userId, sessionId, authenticatedAt, amr, claims, expiresAt })
    this.#verified.set(token, { auth, key: opened.key, at: now })
    return auth
  }

  #read (claims: Claims, now: Millis): AccessToken | null {
    const { issuer, audience } = this.#context
    const { aud, jti, cnf } = claims
    // A token that is bound to a key is nothing without a proof of that key (RFC 9449 section 7.2).
    if (!isText(jti) || cnf !== undefined) return null
    const isAmongOthers = isTexts(aud) && aud.includes(audience)
    return readAccessClaims(isAmongOthers ? { ...claims, aud: audience } : claims, now, { issuer, audience })
  }
}
