// Access tokens in use: issued with a session, and admitted at every request without asking the store.

import { issueAccessToken, readAccessToken, sessionOfAccessToken } from '../credentials/access-token.js'
import type { AccessScope, AccessSubject } from '../credentials/access-token.js'
import type { JwtKind } from '../credentials/jwt.js'
import type { Millis } from '../domain/session.js'
import { TokenAuthError } from '../errors.js'
import type { RevocationFeed } from './revocation-feed.js'
import type { RevokedSessions } from './revoked-sessions.js'
import { TextMap } from './text-map.js'
import type { UseNotes } from './use-notes.js'

/**
 * The app's own claims in access tokens, as `users.claims` gives them. Augment it to type `request.auth.claims`:
 * `declare module 'fastify-token-auth' { interface AuthClaims { role: string } }`.
 */
export interface AuthClaims {}

/** Who sent a request, as its access token proves. Shared by all requests with that token, so it is frozen. */
export interface Auth {
  readonly userId: string
  readonly sessionId: string
  /** When its user last proved who they are: the login, in whole seconds. */
  readonly authenticatedAt: Millis
  /** How that was proved (RFC 8176), such as `['pwd']`. */
  readonly amr: readonly string[]
  readonly claims: Readonly<AuthClaims>
  /** When the access token ends. */
  readonly expiresAt: Millis
}

export interface AccessContext {
  readonly tokens: JwtKind
  readonly scope: AccessScope
  readonly lifetime: Millis
  /** How many verified tokens are remembered. */
  readonly cacheSize: number
  readonly clock: () => Millis
  readonly revoked: RevokedSessions
  readonly feed: RevocationFeed
  /** Where use is noted; `null` where access tokens do not confirm a generation. */
  readonly notes: UseNotes | null
}

/** An access token that was let in. */
export interface Admitted {
  readonly auth: Auth
  readonly generation: number
  /** Whether a cookie that holds it outlives the browser. */
  readonly persistent: boolean
}

interface Verified extends Admitted {
  /** When it was verified: a clock that says less was ahead then. */
  readonly at: Millis
  noted: boolean
}

export class AccessControl {
  readonly #context: AccessContext
  // By the whole text, since two texts may carry one signature. Stands before the revocation check, never instead of it.
  readonly #verified: TextMap<Verified>

  constructor (context: AccessContext) {
    this.#context = context
    this.#verified = new TextMap(context.cacheSize)
  }

  /** A token that ends with its session, or sooner. `expiresIn` is in seconds. */
  issue (subject: AccessSubject, now: Millis, sessionEnd: Millis): { readonly token: string, readonly expiresIn: number } {
    const { tokens, scope, lifetime } = this.#context
    return issueAccessToken(tokens, subject, { from: now, to: Math.min(now + lifetime, sessionEnd) }, scope)
  }

  /** Forgets what was verified, since a key has gone by which it was. */
  forget (): void {
    this.#verified.clear()
  }

  /** The session of an authentic token, whatever its times, issuer and audience are; `null` for everything else. */
  sessionOf (token: string): string | null {
    return sessionOfAccessToken(this.#context.tokens, token)
  }

  /** Whether a text says of itself that it is an access token. */
  resembles (token: string): boolean {
    return this.#context.tokens.resembles(token)
  }

  /**
   * @param text What the token came in. As it arrived, it is found sooner than a part of it.
   * @throws TokenAuthError AUTH_ACCESS_INVALID, AUTH_ACCESS_EXPIRED, AUTH_SESSION_REVOKED, AUTH_STORE_UNAVAILABLE
   */
  admit (token: string, text = token): Admitted {
    const { clock, revoked, feed, notes } = this.#context
    const now = clock()
    const remembered = this.#verified.get(text)
    const verified = remembered !== undefined && remembered.at <= now ? remembered : this.#verify(token, text, now)
    const { auth, generation } = verified
    if (now >= auth.expiresAt) {
      this.#verified.delete(text)
      throw new TokenAuthError('AUTH_ACCESS_EXPIRED')
    }
    if (revoked.has(auth.sessionId)) throw new TokenAuthError('AUTH_SESSION_REVOKED')
    if (feed.isLost(now)) throw new TokenAuthError('AUTH_STORE_UNAVAILABLE')
    if (!verified.noted) {
      verified.noted = true
      notes?.confirm(auth.sessionId, generation, now)
    }
    return verified
  }

  #verify (token: string, text: string, now: Millis): Verified {
    const { tokens, scope } = this.#context
    const read = readAccessToken(tokens, token, now, scope)
    if (read === null) throw new TokenAuthError('AUTH_ACCESS_INVALID')
    const { userId, sessionId, authenticatedAt, amr, claims, expiresAt, generation, persistent } = read
    const auth = Object.freeze({ userId, sessionId, authenticatedAt, amr, claims, expiresAt })
    const verified = { auth, generation, persistent, at: now, noted: false }
    this.#verified.set(text, verified)
    return verified
  }
}
