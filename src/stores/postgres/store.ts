// Sessions in PostgreSQL, or in what speaks its protocol. Each verb is a statement or two, never a transaction over several
// round trips, so that any pool, client or HTTP driver with `query(text, values)` will do.

import { createHash } from 'node:crypto'
import { canRotate } from '../../domain/rotation.js'
import type { RotationAttempt, RotationOutcome } from '../../domain/rotation.js'
import type { RevocationReason, Session } from '../../domain/session.js'
import { SessionRefusedError } from '../token-store.js'
import type { Cursor, Revocation, RevocationTarget, TokenStore, Touch } from '../token-store.js'
import { postgresMigrations } from './schema.js'
import { statements } from './statements.js'
import { RotationQueue } from '../sql/rotation-queue.js'
import { toSession, toValues } from '../sql/rows.js'
import type { Row, SqlValue } from '../sql/rows.js'
import type { Millis } from '../../lib/time.js'

/**
 * The part of a driver that is used. `pg.Pool`, `pg.Client`, PGlite and Neon have it. Nothing is prepared by name, and nothing
 * else outlives a statement on its connection, so that a pooler in transaction mode may stand between; where there is none, see
 * {@link withPreparedStatements}.
 */
export interface PostgresDatabase {
  query(text: string, values?: unknown[]): Promise<{ readonly rows: unknown[] }>
}

// Any number that other software is unlikely to lock.
const MIGRATION_LOCK = 7_265_348_101

/**
 * Keeps sessions in PostgreSQL 12 or later. Any number of instances may share one database; concurrent rotations of one instance
 * are gathered into one statement.
 *
 * Sessions have no foreign key to your table of users: their ids are text here. Delete a user by `revokeUser`, and the
 * sweep does the rest.
 */
export class PostgresStore implements TokenStore {
  /**
   * The schema, for people with their own migrations: the n-th text takes version n to n + 1. Each goes to the server as one: a
   * function has semicolons of its own. Who signs in as another role needs EXECUTE on it where PUBLIC has lost that.
   */
  static readonly migrations: readonly string[] = postgresMigrations

  readonly #db: PostgresDatabase
  readonly #rotations: RotationQueue

  constructor (db: PostgresDatabase) {
    this.#db = db
    this.#rotations = new RotationQueue({
      rotateAll: attempts => this.#rotateAll(attempts),
      isDataError
    })
  }

  /**
   * Creates or updates the tables, in the schema that is first on the search path. Harmless to repeat, also by several
   * instances at once. Call it once before the app listens.
   */
  async migrate (): Promise<void> {
    const steps = postgresMigrations.map((text, version) => `
      IF NOT EXISTS (SELECT 1 FROM token_auth_migrations WHERE version = ${version + 1}) THEN
        ${text}
        INSERT INTO token_auth_migrations (version) VALUES (${version + 1});
      END IF;`)
    await this.#db.query(`
      DO $migrate$ BEGIN
        PERFORM pg_advisory_xact_lock(${MIGRATION_LOCK});
        CREATE TABLE IF NOT EXISTS token_auth_migrations (version integer NOT NULL PRIMARY KEY);
        ${steps.join('\n')}
      END $migrate$`)
  }

  // A revocation of all sessions first sets the not-before, then revokes what it sees. Whoever inserts looks for a not-before
  // afterwards once more: either the revocation saw the session, or this sees the not-before. No token is out by then.
  async create (session: Session): Promise<void> {
    const created = await this.#query('create', toValues(session))

    if (created.length === 0) {
      throw new SessionRefusedError(
        await this.find(session.id) === null ? 'revoked-since' : 'id-taken'
      )
    }

    if ((await this.#query('uncreate', [session.id])).length > 0) {
      throw new SessionRefusedError('revoked-since')
    }
  }

  rotate (attempt: RotationAttempt): Promise<RotationOutcome> {
    return this.#rotations.rotate(attempt)
  }

  async find (sessionId: string): Promise<Session | null> {
    const [row] = await this.#query('find', [sessionId])
    return row === undefined ? null : toSession(row)
  }

  async list (
    userId: string,
    { now, limit }: { readonly now: Millis, readonly limit: number }
  ): Promise<Session[]> {
    const rows = await this.#query('list', [userId, now, limit])
    return rows.map(toSession)
  }

  async revoke (
    target: RevocationTarget,
    { at, reason }: { readonly at: Millis, readonly reason: RevocationReason }
  ): Promise<number> {
    if ('sessionId' in target) {
      return (await this.#query('revokeOne', [target.sessionId, at, reason])).length
    }

    await this.#query('setNotBefore', [target.userId, at])

    return (await this.#query('revokeUser', [target.userId, at, reason, target.keep ?? null]))
      .length
  }

  async touch (batch: readonly Touch[]): Promise<void> {
    if (batch.length === 0) {
      return
    }

    await this.#query('touch', [
      toArray(batch.map(touch => touch.sessionId)),
      toArray(batch.map(touch => touch.lastUsedAt)),
      toArray(batch.map(touch => touch.confirmedGeneration))
    ])
  }

  async revocations (after: Cursor, limit: number): Promise<Revocation[]> {
    const rows = await this.#query('revocations', [after.at, after.sessionId, limit])
    return rows.map(row => ({ at: Number(row.revoked_at), sessionId: row.id as string }))
  }

  async sweep (
    { endedBefore, limit }: { readonly endedBefore: Millis, readonly limit: number }
  ): Promise<number> {
    let count = 0

    while (count < limit) {
      const [row] = await this.#query('sweepSessions', [endedBefore, limit - count])
      const deleted = Number(row?.deleted)

      if (deleted + Number(row?.postponed) === 0) {
        break
      }

      count += deleted
    }

    if (count === limit) {
      return count
    }

    return count + (await this.#query('sweepUsers', [endedBefore, limit - count])).length
  }

  #rotateAll (attempts: readonly RotationAttempt[]): Promise<RotationOutcome[]> {
    return attempts.length > 1
      ? this.#rotateTogether(attempts)
      : this.#rotateOne(attempts[0] as RotationAttempt)
  }

  // What did not fit is read a moment later, and may fit by then: an attempt that was ahead of the row. Who fits is swapped, so
  // that one is made again under a lock.
  async #rotateOne (attempt: RotationAttempt): Promise<RotationOutcome[]> {
    const { sessionId, secretHash, generation, now, expiresAt, rotatedBefore, rotatedAfter, by } =
      attempt
    const [row] = await this.#query('rotateOne', [
      sessionId,
      secretHash,
      generation,
      now,
      expiresAt,
      rotatedBefore,
      rotatedAfter,
      by.address,
      by.userAgent
    ])
    const outcome = typeof row?.outcome === 'string' ? row.outcome : ''
    const swapped = outcome.startsWith('+')
    const session = outcome === '' ? null : toSession(JSON.parse(outcome.slice(1)) as Row)

    if (swapped || session === null || !canRotate(session, attempt)) {
      return [{ swapped, session }]
    }

    return [
      (await this.#rotateBy('rotate', [attempt])).get(sessionId) ??
        { swapped: false, session: null }
    ]
  }

  // In the order of their ids, in which they are found by the index: two instances that rotate the same sessions wait for each
  // other in turn, and not in a circle. (Where the plan is another one, PostgreSQL breaks the circle after a second.)
  async #rotateTogether (attempts: readonly RotationAttempt[]): Promise<RotationOutcome[]> {
    const ordered = attempts.toSorted((a, b) => a.sessionId < b.sessionId ? -1 : 1)
    const fitting = await this.#rotateBy('rotateFitting', ordered)
    const left = ordered.filter(({ sessionId }) => !fitting.has(sessionId))
    const others = left.length > 0 ? await this.#rotateBy('rotate', left) : fitting

    return attempts.map(({ sessionId: id }) =>
      fitting.get(id) ?? others.get(id) ?? { swapped: false, session: null }
    )
  }

  async #rotateBy (
    name: 'rotateFitting' | 'rotate',
    attempts: readonly RotationAttempt[]
  ): Promise<ReadonlyMap<unknown, RotationOutcome>> {
    const column = (pick: (attempt: RotationAttempt) => SqlValue): string =>
      toArray(attempts.map(pick))
    const rows = await this.#query(name, [
      column(attempt => attempt.sessionId),
      column(attempt => attempt.secretHash),
      column(attempt => attempt.generation),
      column(attempt => attempt.now),
      column(attempt => attempt.expiresAt),
      column(attempt => attempt.rotatedBefore),
      column(attempt => attempt.rotatedAfter),
      column(attempt => attempt.by.address),
      column(attempt => attempt.by.userAgent)
    ])

    return new Map(
      rows.map(row => [row.id, { swapped: row.swapped === true, session: toSession(row) }])
    )
  }

  // A deadlock, a serialization failure: PostgreSQL has undone the statement, and asks to be asked again.
  async #query (name: keyof typeof statements, values: unknown[]): Promise<Row[]> {
    try {
      return (await this.#db.query(statements[name], values)).rows as Row[]
    } catch (error) {
      if (!/^40(001|P01)$/.test(stateOf(error))) {
        throw error
      }

      return (await this.#db.query(statements[name], values)).rows as Row[]
    }
  }
}

/** The part of a driver that {@link withPreparedStatements} needs. `pg.Pool` and `pg.Client` have it. */
export interface PreparingDatabase {
  query(
    statement: { name?: string, text: string, values?: unknown[] }
  ): Promise<{ readonly rows: unknown[] }>
}

/**
 * For `new PostgresStore(withPreparedStatements(pool))`: the statements of a rotation are prepared by name, once a connection.
 * One on its own takes a tenth less time, and many at once go a tenth faster. Only where every connection is the server's own: a
 * pooler in transaction mode that does not know of prepared statements (PgBouncer before 1.24, unless `max_prepared_statements`
 * is set) hands them to others, and refreshes are answered with 503.
 */
export function withPreparedStatements (db: PreparingDatabase): PostgresDatabase {
  // No others: how many rows a sweep may take is known by its values alone, and a plan without them reads the whole table.
  const names = new Map<string, string>(
    [statements.rotateOne, statements.rotateFitting].map(text => // Of the text: on a connection, another version of this package may have prepared its own.
    [text, `token_auth_${createHash('sha256').update(text).digest('base64url')}`])
  )

  return {
    query (text, values) {
      const name = names.get(text)
      return db.query({ text, ...(values && { values }), ...(name && { name }) })
    }
  }
}

// An array as PostgreSQL writes it. What drivers make of an array differs, and some join its values by commas (postgres.js with
// `fetch_types: false`, which poolers ask for); a text they all pass on as it is.
function toArray (values: readonly SqlValue[]): string {
  return `{${
    values.map(value => value === null ? 'NULL' : `"${String(value).replace(/["\\]/g, '\\$&')}"`)
      .join(',')
  }}`
}

// Class 22 of SQLSTATE: a value that the database cannot take.
function isDataError (error: unknown): boolean {
  return stateOf(error).startsWith('22')
}

function stateOf (error: unknown): string {
  const { code } = (error ?? {}) as { code?: unknown }
  return typeof code === 'string' ? code : ''
}
