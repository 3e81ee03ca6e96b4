import { createSessionId, NO_REPLAYS } from '../domain/session.js'
import type { Caller, Session } from '../domain/session.js'
import type { DpopProof } from '../dpop/verifier.js'
import type { Actor } from '../events.js'
import { toStorableText } from '../lib/storable-text.js'
import type { Millis } from '../lib/time.js'
import type { IssuedTokens } from './token-issuer.js'

const MAX_LABEL_LENGTH = 128

/** Result of an authentication, and settings of the session to open. */
export interface NewSessionInput {
  readonly by: Caller
  /** Label of the device, as the client named it. */
  readonly device: string | null
  /** Whether cookies outlive the browser. */
  readonly persistent: boolean
  /** Moment of the authentication. The session is created then or later. */
  readonly authenticatedAt: Millis
  /** Authentication methods (RFC 8176). */
  readonly amr: readonly string[]
  /** OAuth client that may refresh the session. `null` for a first-party session. */
  readonly clientId: string | null
  /** Proof of the key to bind the session to, or `null`. */
  readonly proof: DpopProof | null
  /** Refresh token of the session that the new one replaces, in the same browser. */
  readonly replaces: string | null
  /** Cause of the events. */
  readonly actor: Actor
  /** Throws if the tokens cannot be sent, for example because a cookie would be too long. */
  readonly assertSendable: (issued: IssuedTokens) => void
  /** Origin of the ID and the secret. Random by default. */
  readonly derived?: DerivedSession | undefined
}

/**
 * ID and secret of a session that derive from a one-time token.
 *
 * The session begins at `authenticatedAt`, so each request with the token means the same session.
 */
export interface DerivedSession {
  /** Random part of the ID, 16 bytes. */
  readonly idBytes: Buffer
  /** Secret of the refresh tokens, 43 characters. */
  readonly secret: string
}

/** Creates a session of generation 0, which nobody has used yet. */
export function createSession (
  owner: Pick<Session, 'realm' | 'userId' | 'secretHash'>,
  { by, device: label, authenticatedAt, derived }: NewSessionInput,
  { now, lifetime, maxLifetime }: {
    readonly now: Millis
    readonly lifetime: Millis
    readonly maxLifetime: Millis
  }
): Session {
  const endsAt = now + maxLifetime
  const storableLabel = label === null ? null : toStorableText(label, MAX_LABEL_LENGTH)

  return {
    id: createSessionId(now, derived?.idBytes),
    ...owner,
    generation: 0,
    confirmedGeneration: 0,
    createdAt: now,
    authenticatedAt,
    rotatedAt: now,
    rotatedBy: by,
    graceFrom: now,
    lastUsedAt: now,
    expiresAt: Math.min(now + lifetime, endsAt),
    endsAt,
    revokedAt: null,
    revokedFor: null,
    device: { label: storableLabel, ...by },
    replayRun: NO_REPLAYS
  }
}
