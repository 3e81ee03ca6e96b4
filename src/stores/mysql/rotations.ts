import { applyRotation, canRotate } from '../../domain/rotation.js'
import type { RotationAttempt, RotationOutcome } from '../../domain/rotation.js'
import type { Session } from '../../domain/session.js'
import { SafeError } from '../../lib/safe-error.js'
import { inTransaction, read, write } from './connection.js'
import type { MysqlPool } from './connection.js'
import { decodeSession, toBatch, toHex } from './rows.js'
import { statements } from './statements.js'

// Each repetition means that another writer has changed the row.
const MAX_TRIES = 20

/** Finds a session, with the revocation of its not-befores. */
export async function findSession (
  pool: MysqlPool,
  realm: string,
  sessionId: string
): Promise<Session | null> {
  const [row] = await read(pool, statements.find, [Buffer.from(sessionId), Buffer.from(realm)])
  return row === undefined ? null : decodeSession(row)
}

/**
 * Rotates one session: reads the row with its not-befores, and replaces it if it is unchanged.
 *
 * The engines cannot return an updated row. An UPDATE that reads the not-befores itself would lock
 * the gaps between them, and constant traffic would block the revocation of a user.
 */
export async function rotateOne (
  pool: MysqlPool,
  attempt: RotationAttempt
): Promise<RotationOutcome> {
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const session = await findSession(pool, attempt.realm, attempt.sessionId)

    if (session === null || !canRotate(session, attempt)) {
      return { swapped: false, session }
    }

    const rotated = applyRotation(session, attempt)

    if (await replace(pool, session, rotated)) {
      return { swapped: true, session: rotated }
    }
  }

  throw new SafeError('the session changes too often')
}

// Does not rely on whether the driver counts changed or matched rows, because the generation of a
// matched row always changes.
async function replace (pool: MysqlPool, current: Session, rotated: Session): Promise<boolean> {
  const matched = await write(pool, statements.rotate, [
    rotated.generation,
    rotated.confirmedGeneration,
    rotated.rotatedAt,
    rotated.rotatedBy.address,
    rotated.rotatedBy.userAgent,
    rotated.graceFrom,
    rotated.lastUsedAt,
    rotated.expiresAt,
    Buffer.from(current.id),
    current.generation,
    current.confirmedGeneration,
    current.graceFrom,
    current.lastUsedAt,
    current.replayRun.generation
  ])
  return matched > 0
}

/**
 * Rotates several sessions in one transaction.
 *
 * A statement for several rows does not return which ones it changed. So this function locks the
 * rows in the order of their IDs and compares them. READ COMMITTED locks no gaps that would block
 * logins.
 */
export function rotateTogether (
  pool: MysqlPool,
  attempts: readonly RotationAttempt[]
): Promise<RotationOutcome[]> {
  return inTransaction(pool, async connection => {
    const rows = await read(connection, statements.takeForRotation, [
      toBatch(attempts.map(({ sessionId }) => [sessionId]))
    ])
    const sessions = new Map(rows.map(decodeSession).map(session => [session.id, session]))
    const outcomes = attempts.map(attempt => rotateLocked(sessions.get(attempt.sessionId), attempt))
    const swapped = outcomes.flatMap(({ swapped, session }) =>
      swapped && session !== null ? [session] : []
    )

    if (swapped.length > 0) {
      await connection.execute(statements.rotateTaken, [toBatch(swapped.map(encodeRotation))])
    }

    return outcomes
  }, 'READ COMMITTED')
}

function rotateLocked (session: Session | undefined, attempt: RotationAttempt): RotationOutcome {
  if (session?.realm !== attempt.realm) {
    return { swapped: false, session: null }
  }

  return canRotate(session, attempt)
    ? { swapped: true, session: applyRotation(session, attempt) }
    : { swapped: false, session }
}

function encodeRotation (
  { rotatedBy: { address, userAgent }, ...row }: Session
): [string, ...Array<string | number | null>] {
  return [
    row.id,
    row.generation,
    row.confirmedGeneration,
    row.rotatedAt,
    address && toHex(address),
    userAgent && toHex(userAgent),
    row.graceFrom,
    row.lastUsedAt,
    row.expiresAt
  ]
}
