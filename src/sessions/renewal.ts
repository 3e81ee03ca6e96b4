// Silent renewal: a request whose access token is about to end is answered with the next one, as long as its session lives.

import { TokenAuthError } from '../errors.js'
import type { TokenStore } from '../stores/token-store.js'
import type { AccessVerifier, VerifiedToken } from './access-verifier.js'
import type { Logger } from '../events.js'
import type { RevokedSessions } from '../revocations/revoked.js'
import type { UserDirectory } from './users.js'
import { SECOND } from '../lib/time.js'
import type { Millis } from '../lib/time.js'

export interface RenewalContext {
  readonly store: TokenStore
  readonly users: UserDirectory
  readonly access: AccessVerifier
  readonly revoked: RevokedSessions
  readonly logger: Logger
  readonly clock: () => Millis
  /** How long before its end a token is renewed. */
  readonly within: Millis
}

/** The next access token of a session. */
export interface Renewed {
  readonly token: string
  readonly sessionId: string
  /** Of a cookie that is to hold it, in seconds; `null` where the browser forgets it when it is closed. */
  readonly maxAge: number | null
}

/** */
export class Renewal {
  readonly #context: RenewalContext
  readonly #underWay = new Map<string, Promise<Renewed | null>>()

  constructor (context: RenewalContext) {
    this.#context = context
  }

  /** Not for an OAuth client: it refreshes as its standard says. */
  isDue ({ auth }: VerifiedToken): boolean {
    return auth.expiresAt - this.#context.clock() <= this.#context.within && auth.clientId === null
  }

  /**
   * The token after this one; `null` where the session ends no later than it, or could not be looked up: the request
   * was let in by what it holds, and the next one asks again. Requests at once share one look.
   * @throws TokenAuthError AUTH_SESSION_REVOKED
   */
  next (token: string, admitted: VerifiedToken): Promise<Renewed | null> {
    let renewing = this.#underWay.get(token)

    if (renewing === undefined) {
      renewing = this.#renew(admitted).finally(() => {
        this.#underWay.delete(token)
      })
      this.#underWay.set(token, renewing)
    }

    return renewing
  }

  // A pure function of the token, the session and the user: the new life begins where the window of the old one did. So requests
  // one after the other, and at other instances, are given the same claims, and the same text unless the algorithm is random.
  async #renew (
    { auth, generation, persistent, thumbprint }: VerifiedToken
  ): Promise<Renewed | null> {
    const { store, users, access, revoked, logger, clock, within } = this.#context
    const { userId, sessionId, expiresAt, amr, clientId } = auth

    try {
      const [session, profile] = await Promise.all([
        store.find(sessionId),
        users.findActive(userId)
      ])

      if (session !== null && session.revokedAt !== null) {
        revoked.add({ sessionId, at: session.revokedAt }, clock())
        throw new TokenAuthError('AUTH_SESSION_REVOKED')
      }

      if (session === null || profile === null || session.expiresAt < expiresAt + SECOND) {
        return null
      }

      const { authenticatedAt } = session
      const claims = { ...profile.claims }
      const subject = {
        userId,
        sessionId,
        generation,
        persistent,
        authenticatedAt,
        amr,
        clientId,
        thumbprint,
        claims
      }
      const from = expiresAt - within
      const { token, expiresIn } = access.issue(subject, from, session.expiresAt)

      return {
        token,
        sessionId,
        maxAge: persistent ? expiresIn - Math.floor((clock() - from) / 1000) : null
      }
    } catch (error) {
      if (error instanceof TokenAuthError && error.code === 'AUTH_SESSION_REVOKED') {
        throw error
      }

      logger.warn({ sessionId }, 'an access token could not be renewed and is left as it is')
      return null
    }
  }
}
