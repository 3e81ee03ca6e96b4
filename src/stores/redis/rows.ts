import type { Session } from '../../domain/session.js'
import type { Cursor, Revocation } from '../token-store.js'

/** Members of a session that never change. One field of the hash, as JSON. */
export type FixedPart = Pick<Session, 'id' | 'userId' | 'createdAt' | 'authenticatedAt' | 'device'>

/** Fields of the hash, named like the members of a session. A null member has no field. */
export const fields = [
  'fixed',
  'secretHash',
  'generation',
  'confirmedGeneration',
  'rotatedAt',
  'rotatedBy',
  'lastUsedAt',
  'expiresAt',
  'endsAt',
  'revokedAt',
  'revokedFor'
] as const

/** Converts a session to the arguments of HSET. */
export function toFields (session: Session): Array<string | number> {
  const {
    id,
    userId,
    createdAt,
    authenticatedAt,
    device,
    rotatedBy,
    revokedAt,
    revokedFor,
    ...moving
  } = session
  const fixed: FixedPart = { id, userId, createdAt, authenticatedAt, device }
  const row: Partial<Record<typeof fields[number], string | number>> = {
    ...moving,
    fixed: JSON.stringify(fixed),
    rotatedBy: JSON.stringify(rotatedBy),
    ...(revokedAt !== null && { revokedAt }),
    ...(revokedFor !== null && { revokedFor })
  }
  return Object.entries(row).flat()
}

/** Parses the field `fixed`. */
export function toFixedPart (text: unknown): FixedPart {
  return JSON.parse(String(text)) as FixedPart
}

/** Digits of the largest safe integer, so that strings sort like numbers. */
const DIGITS = 16

/**
 * Converts a revocation to a member of the feed. Members sort by time and session ID.
 *
 * Contains the time, because several calls may revoke one session at different times, and the entry
 * of each must stay until one has won.
 */
export function toEntry ({ at, sessionId }: Cursor): string {
  return String(Math.max(at, 0)).padStart(DIGITS, '0') + sessionId
}

/** Parses a member of the feed. */
export function toRevocation (entry: string): Revocation {
  return { at: Number(entry.slice(0, DIGITS)), sessionId: entry.slice(DIGITS) }
}
