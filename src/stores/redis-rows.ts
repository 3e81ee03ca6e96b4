// How a session lies in a hash, and a revocation in the feed.

import type { Caller, RevocationReason, Session } from '../domain/session.js'
import type { Cursor, Revocation } from './token-store.js'

/** What never changes once a session is created. One field of the hash, as JSON, so that it can grow. */
export type FixedPart = Pick<Session, 'id' | 'userId' | 'createdAt' | 'authenticatedAt' | 'device'>

/** The fields in the order in which scripts show them. A field whose value is null is not there. */
export const fields = [
  'fixed', 'secretHash', 'generation', 'confirmedGeneration', 'rotatedAt', 'rotatedBy', 'lastUsedAt', 'expiresAt', 'endsAt',
  'revokedAt', 'revokedFor'
] as const

/** Fields and values in turn, as HSET takes them. */
export function toFields (session: Session): Array<string | number> {
  const { id, userId, createdAt, authenticatedAt, device, rotatedBy, revokedAt, revokedFor, ...moving } = session
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

/** @param row The values of {@link fields} as a driver gives them: texts, or buffers where the app has asked it to. */
export function toSession (row: readonly unknown[]): Session {
  const [fixed, secretHash, generation, confirmedGeneration, rotatedAt, rotatedBy, lastUsedAt, expiresAt, endsAt,
    revokedAt, revokedFor] = row
  return {
    ...toFixedPart(fixed),
    secretHash: String(secretHash),
    generation: Number(generation),
    confirmedGeneration: Number(confirmedGeneration),
    rotatedAt: Number(rotatedAt),
    rotatedBy: JSON.parse(String(rotatedBy)) as Caller,
    lastUsedAt: Number(lastUsedAt),
    expiresAt: Number(expiresAt),
    endsAt: Number(endsAt),
    revokedAt: revokedAt == null ? null : Number(revokedAt),
    revokedFor: revokedFor == null ? null : String(revokedFor) as RevocationReason
  }
}

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

export function toRevocation (entry: string): Revocation {
  return { at: Number(entry.slice(0, DIGITS)), sessionId: entry.slice(DIGITS) }
}
