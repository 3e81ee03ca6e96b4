import type { AttemptCount } from '../../domain/attempt-rule.js'
import type { RevocationReason, Session } from '../../domain/session.js'

/** Value of a column in a statement. */
export type SqlValue = string | number | null

/** Row as a driver returns it. Integers may be numbers, bigints or decimal strings. */
export type Row = Readonly<Record<string, unknown>>

/** Columns of a session, in the order of {@link toValues}. All SQL stores have the same ones. */
export const columns = [
  'id',
  'realm',
  'user_id',
  'secret_hash',
  'generation',
  'confirmed_generation',
  'created_at',
  'authenticated_at',
  'rotated_at',
  'rotated_by_address',
  'rotated_by_user_agent',
  'grace_from',
  'last_used_at',
  'expires_at',
  'ends_at',
  'revoked_at',
  'revoked_for',
  'device_label',
  'device_user_agent',
  'device_address',
  'replay_generation',
  'replay_length',
  'sweep_after'
] as const

/** Converts a session to the values of its columns. */
export function toValues (session: Session): SqlValue[] {
  return [
    session.id,
    session.realm,
    session.userId,
    session.secretHash,
    session.generation,
    session.confirmedGeneration,
    session.createdAt,
    session.authenticatedAt,
    session.rotatedAt,
    session.rotatedBy.address,
    session.rotatedBy.userAgent,
    session.graceFrom,
    session.lastUsedAt,
    session.expiresAt,
    session.endsAt,
    session.revokedAt,
    session.revokedFor,
    session.device.label,
    session.device.userAgent,
    session.device.address,
    session.replayRun.generation,
    session.replayRun.length,
    session.expiresAt
  ]
}

/**
 * Converts a row to a session.
 *
 * A statement may add the columns `not_before_at` and `not_before_reason` of the not-before that
 * revokes the session. They count as its revocation unless the row is marked.
 */
export function toSession (row: Row): Session {
  const isMarked = row.revoked_at !== null
  const revokedAt = isMarked ? row.revoked_at : row.not_before_at ?? null
  const revokedFor = isMarked ? row.revoked_for : row.not_before_reason ?? null

  return {
    id: row.id as string,
    realm: row.realm as string,
    userId: row.user_id as string,
    secretHash: row.secret_hash as string,
    generation: Number(row.generation),
    confirmedGeneration: Number(row.confirmed_generation),
    createdAt: Number(row.created_at),
    authenticatedAt: Number(row.authenticated_at),
    rotatedAt: Number(row.rotated_at),
    rotatedBy: {
      address: row.rotated_by_address as string | null,
      userAgent: row.rotated_by_user_agent as string | null
    },
    graceFrom: Number(row.grace_from),
    lastUsedAt: Number(row.last_used_at),
    expiresAt: Number(row.expires_at),
    endsAt: Number(row.ends_at),
    revokedAt: revokedAt === null ? null : Number(revokedAt),
    revokedFor: revokedFor as RevocationReason | null,
    device: {
      label: row.device_label as string | null,
      userAgent: row.device_user_agent as string | null,
      address: row.device_address as string | null
    },
    replayRun: {
      generation: Number(row.replay_generation),
      length: Number(row.replay_length)
    }
  }
}

/** Converts a row to a count of attempts. */
export function toAttempts (row: Row): AttemptCount {
  return {
    count: Number(row.attempts),
    since: Number(row.since),
    nextAt: Number(row.next_at),
    expiresAt: Number(row.forget_at)
  }
}
