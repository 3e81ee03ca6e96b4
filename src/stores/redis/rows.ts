import { NO_REPLAYS } from '../../domain/session.js'
import type { Session } from '../../domain/session.js'
import { DAY } from '../../lib/time.js'
import type { Millis } from '../../lib/time.js'

/** Members of a session that never change. One field of the hash, as JSON. */
export type FixedPart = Pick<Session, 'id' | 'userId' | 'createdAt' | 'authenticatedAt' | 'device'>

/**
 * Fields of the hash, named like the members of a session.
 *
 * A member without a value has no field: one that is null, and `replayRun` without replays.
 */
export const fields = [
  'fixed',
  'realm',
  'secretHash',
  'generation',
  'confirmedGeneration',
  'rotatedAt',
  'rotatedBy',
  'graceFrom',
  'lastUsedAt',
  'expiresAt',
  'endsAt',
  'revokedAt',
  'revokedFor',
  'replayRun'
] as const

export type Field = typeof fields[number]

/** Fields that a rotation changes. Their values are JSON. */
export const rotatedFields = [
  'generation',
  'confirmedGeneration',
  'rotatedAt',
  'rotatedBy',
  'graceFrom',
  'lastUsedAt',
  'expiresAt'
] as const satisfies readonly Field[]

/** Members of a session that a rotation changes. */
export type RotatedPart = Pick<Session, typeof rotatedFields[number]>

/** Value of a missing field `replayRun`. */
export const NO_REPLAYS_JSON = JSON.stringify(NO_REPLAYS)

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
    replayRun,
    ...plain
  } = session
  const fixed: FixedPart = { id, userId, createdAt, authenticatedAt, device }
  const hasReplays = replayRun.generation > 0 || replayRun.length > 0
  const row: Partial<Record<Field, string | number>> = {
    ...plain,
    fixed: JSON.stringify(fixed),
    rotatedBy: JSON.stringify(rotatedBy),
    ...(revokedAt !== null && { revokedAt }),
    ...(revokedFor !== null && { revokedFor }),
    ...(hasReplays && { replayRun: JSON.stringify(replayRun) })
  }
  return Object.entries(row).flat()
}

/** Returns the time after which Redis deletes a session that no sweep deletes. */
export function getTimeToLive ({ createdAt, endsAt }: Session): Millis {
  // A length and not the moment `endsAt`, because the clock of Redis may differ from the app's.
  return Math.max(endsAt - createdAt, 0) + DAY
}

/** Converts the members that a rotation changes to the arguments of HSET. */
export function toRotatedFields (part: RotatedPart): string[] {
  return rotatedFields.flatMap(field => [field, JSON.stringify(part[field])])
}

/** Parses the field `fixed`. */
export function toFixedPart (json: unknown): FixedPart {
  return JSON.parse(String(json)) as FixedPart
}
