import { createSessionId } from '../../src/domain/session.js'
import { TokenAuthError } from '../../src/errors.js'
import type { FollowableToken } from '../../src/live/follower.js'
import { SessionFollowers } from '../../src/live/session-followers.js'
import { RevokedSessions } from '../../src/revocations/revoked.js'
import { createClock, MINUTE } from '../helpers/clock.js'
import type { TestClock } from '../helpers/clock.js'

export const NOW = Date.UTC(2026, 0, 1)
export const LIFETIME = 15 * MINUTE

/** Registry whose verifier accepts the names of the tokens in `tokens`. */
export interface TestFollowers {
  readonly followers: SessionFollowers
  readonly revoked: RevokedSessions
  readonly clock: TestClock
  /** Tokens that the verifier accepts, by the string that stands for each of them. */
  readonly tokens: Map<string, FollowableToken>
  /** Strings that the verifier got, in order. */
  readonly verified: string[]
  /** Tokens whose proof of possession was reported, in order. */
  readonly proved: FollowableToken[]
}

export function createFollowers (
  verify: (token: FollowableToken) => FollowableToken | Promise<FollowableToken> = token => token
): TestFollowers {
  const clock = createClock(NOW)
  const revoked = new RevokedSessions(LIFETIME)
  const tokens: TestFollowers['tokens'] = new Map()
  const verified: string[] = []
  const proved: FollowableToken[] = []
  const followers = new SessionFollowers({
    revoked,
    clock,
    verifier: {
      verify (string) {
        verified.push(string)
        const token = tokens.get(string)

        if (token === undefined) {
          throw new TokenAuthError('AUTH_ACCESS_INVALID')
        }

        return verify(token)
      },
      async onPossessionProved (token) {
        proved.push(token as FollowableToken)
      }
    }
  })

  return { followers, revoked, clock, tokens, verified, proved }
}

export interface TokenFields {
  readonly sessionId?: string
  readonly userId?: string
  readonly clientId?: string | null
  readonly expiresAt?: number
  readonly generation?: number
  readonly thumbprint?: string | null
}

/** Creates a token of a session of `ann`, which began at {@link NOW}. */
export function createToken (fields: TokenFields = {}): FollowableToken {
  const { sessionId = createSessionId(NOW), userId = 'ann', clientId = null } = fields
  const { expiresAt = NOW + LIFETIME, generation = 0, thumbprint = null } = fields
  const auth = { userId, sessionId, clientId, expiresAt, authenticatedAt: NOW, amr: [], claims: {} }
  return { auth, generation, thumbprint }
}

/** Returns the code with which a signal has aborted, or `null` if it has not. */
export function getReason (signal: AbortSignal): string | null {
  return signal.aborted ? (signal.reason as TokenAuthError).code : null
}
