// How a session lies in a hash, and a revocation in the feed. Scripts show a session as JSON.

import type { Session } from '../../domain/session.js'
import type { Cursor, Revocation } from '../token-store.js'

/** What never changes once a session is created. One field of the hash, as JSON, so that it can grow. */
export type FixedPart = Pick<Session, 'id' | 'userId' | 'createdAt' | 'authenticatedAt' | 'device'>

/** Each is named as the member of a session that it holds. A field whose value is null is not there. */
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

/** Fields and values in turn, as HSET takes them. */
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

/** */
export function toFixedPart (text: unknown): FixedPart {
  return JSON.parse(String(text)) as FixedPart
}

/** As many digits as the greatest whole number has, so that the order of texts is the order of moments. */
const DIGITS = 16

/**
 * A revocation as a member of the feed, whose byte order is the order of (moment, id). The moment is part of it since
 * several may revoke one session at different moments, and the entry of each has to stand until one has won.
 */
export function toEntry ({ at, sessionId }: Cursor): string {
  return String(Math.max(at, 0)).padStart(DIGITS, '0') + sessionId
}

/** */
export function toRevocation (entry: string): Revocation {
  return { at: Number(entry.slice(0, DIGITS)), sessionId: entry.slice(DIGITS) }
}
