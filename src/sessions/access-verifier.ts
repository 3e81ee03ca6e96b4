// Access tokens in use: issued with a session, and admitted at every request without asking the store.

import { issueAccessToken, ownerOfAccessToken, readAccessClaims } from '../tokens/access-token.js'
import type { AccessScope, AccessSubject, AccessToken, TokenOwner } from '../tokens/access-token.js'
import type { Claims, JwtCodec } from '../tokens/jwt-codec.js'
import { TokenAuthError } from '../errors.js'
import type { RevocationFeed } from '../revocations/feed.js'
import type { RevokedSessions } from '../revocations/revoked.js'
import { TokenCache } from '../tokens/token-cache.js'
import type { UsageTracker } from '../revocations/usage-tracker.js'
import type { Millis } from '../lib/time.js'

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
  /** The OAuth client that sent it on the user's behalf; `null` for the app's own. */
  readonly clientId: string | null
  readonly claims: Readonly<AuthClaims>
  /** When the access token ends. */
  readonly expiresAt: Millis
}

export interface AccessVerifierContext {
  readonly tokens: JwtCodec
  readonly scope: AccessScope
  /** Whether tokens are accepted that are bound to a key: somebody asks for the proof of it. */
  readonly acceptsDpop: boolean
  readonly lifetime: Millis
  /** How many verified tokens are remembered. */
  readonly cacheSize: number
  readonly clock: () => Millis
  readonly revoked: RevokedSessions
  readonly feed: RevocationFeed
  /** Where use is noted; `null` where access tokens do not confirm a generation. */
  readonly usage: UsageTracker | null
}

/** An access token that was let in. */
export interface VerifiedToken {
  readonly auth: Auth
  readonly generation: number
  /** Whether a cookie that holds it outlives the browser. */
  readonly persistent: boolean
  /** Of the key without a proof of which the token is worth nothing; `null` where it needs none. */
  readonly thumbprint: string | null
  /** Whether its use was noted. */
  noted: boolean
}

interface Verified extends VerifiedToken {
  /** What it came in. */
  readonly text: string
  /** When it was verified: a clock that says less was ahead then. In whole seconds, which V8 keeps in the object itself. */
  readonly since: number
  /** When it ends, likewise. */
  readonly until: number
}

/** */
export class AccessVerifier {
  readonly #context: AccessVerifierContext
  // By the whole text, since two texts may carry one signature. Stands before the revocation check, never instead of it.
  readonly #verified: TokenCache<Verified>

  constructor (context: AccessVerifierContext) {
    this.#context = context
    this.#verified = new TokenCache(context.cacheSize)
  }

  /** A token that ends with its session, or sooner. `expiresIn` is in seconds. */
  issue (
    subject: AccessSubject,
    now: Millis,
    sessionEnd: Millis
  ): { readonly token: string, readonly expiresIn: number } {
    const { tokens, scope, lifetime } = this.#context

    return issueAccessToken(tokens, subject, {
      from: now,
      to: Math.min(now + lifetime, sessionEnd)
    }, scope)
  }

  /** Forgets what was verified, since a key has gone by which it was. */
  forget (): void {
    this.#verified.clear()
  }

  /** Whose an authentic token is, whatever its times, issuer and audience are; `null` for everything else. */
  ownerOf (token: string): TokenOwner | null {
    return ownerOfAccessToken(this.#context.tokens, token, this.#context.scope)
  }

  /** All that a good token says, and its claims as they are; `null` for everything else. Of revocations it knows nothing. */
  inspect (
    token: string,
    now: Millis
  ): { readonly read: AccessToken, readonly claims: Claims } | null {
    const { tokens, scope, acceptsDpop } = this.#context
    const claims = tokens.verify(token)
    const read = claims === null ? null : readAccessClaims(claims, now, scope)

    return claims === null || read === null || (read.thumbprint !== null && !acceptsDpop)
      ? null
      : { read, claims }
  }

  /** Whether a text says of itself that it is an access token. */
  looksLike (token: string): boolean {
    return this.#context.tokens.looksLike(token)
  }

  /**
   * Lets a token in, which for one that is bound to a key is not enough: {@link confirm} it after the proof.
   * @param text What the token came in. As it arrived, it is found sooner than a part of it.
   * @throws TokenAuthError AUTH_ACCESS_INVALID, AUTH_ACCESS_EXPIRED, AUTH_SESSION_REVOKED, AUTH_STORE_UNAVAILABLE
   */
  verify (token: string, text = token): VerifiedToken {
    const { clock, revoked, feed } = this.#context
    const now = clock()
    const remembered = this.#verified.get(text)
    const verified = remembered !== undefined && remembered.since * 1000 <= now
      ? remembered
      : this.#verify(token, text, now)
    const { auth, thumbprint } = verified

    if (now >= verified.until * 1000) {
      this.#verified.delete(text)
      throw new TokenAuthError('AUTH_ACCESS_EXPIRED')
    }

    if (revoked.has(auth.sessionId)) {
      throw new TokenAuthError('AUTH_SESSION_REVOKED')
    }

    if (feed.isStale(now)) {
      throw new TokenAuthError('AUTH_STORE_UNAVAILABLE')
    }

    if (thumbprint === null) {
      this.confirm(verified)
    }

    return verified
  }

  /** Notes that its generation has reached its client. */
  confirm (admitted: VerifiedToken): void {
    if (admitted.noted) {
      return
    }

    admitted.noted = true
    const { auth, generation } = admitted
    this.#context.usage?.markConfirmed(auth.sessionId, generation, this.#context.clock())
  }

  #verify (token: string, text: string, now: Millis): Verified {
    const { read } = this.inspect(token, now) ?? {}

    if (read === undefined) {
      throw new TokenAuthError('AUTH_ACCESS_INVALID')
    }

    const {
      userId,
      sessionId,
      authenticatedAt,
      amr,
      clientId,
      claims,
      expiresAt,
      generation,
      persistent,
      thumbprint
    } = read
    const auth = Object.freeze({
      userId,
      sessionId,
      authenticatedAt,
      amr,
      clientId,
      claims,
      expiresAt
    })
    const [since, until] = [Math.floor(now / 1000), expiresAt / 1000]
    const verified = { text, since, until, auth, thumbprint, noted: false, generation, persistent }
    this.#verified.set(verified)
    return verified
  }
}
