import { canRotate } from '../../domain/rotation.js'
import type { RotationAttempt, RotationOutcome } from '../../domain/rotation.js'
import type { Session } from '../../domain/session.js'
import type { Millis } from '../../lib/time.js'
import { RotationQueue } from '../sql/rotation-queue.js'
import { columns, toSession, toValues } from '../sql/rows.js'
import type { Row, SqlValue } from '../sql/rows.js'
import { addPrefix } from '../sql/table-prefix.js'
import type { SqlStoreOptions } from '../sql/table-prefix.js'
import { SessionRefusedError } from '../token-store.js'
import type {
  Cursor,
  FeedWindow,
  RevocationDetails,
  RevocationPage,
  RevocationTarget,
  RotateOptions,
  TokenStore,
  Touch,
  UserTarget
} from '../token-store.js'
import { isDataError, runStatement, toArray, withTablePrefix } from './database.js'
import type { PostgresDatabase } from './database.js'
import { PostgresFeed } from './feed.js'
import { postgresMigrations } from './schema.js'
import { PostgresSetup } from './setup.js'
import { statements } from './statements.js'

// Rows that one statement marks and locks until it commits.
const MARK_BATCH_SIZE = 500

/**
 * Token store for PostgreSQL 12 or later.
 *
 * Accepts a `pg.Pool`, a `pg.Client` or any object with `query(text, values)`. Any number of
 * instances may share a database. Concurrent rotations of an instance share one statement.
 *
 * Sessions have no foreign key to your table of users. If you delete a user, call `revokeUser`. A
 * later sweep deletes the sessions.
 *
 * A cursor of the revocation feed is valid on one server until it restarts. After a restart or a
 * failover, instances read the last 25 hours of the feed again.
 *
 * @example
 * ```ts
 * import pg from 'pg'
 * import { PostgresStore } from 'fastify-token-auth/postgres'
 *
 * const store = new PostgresStore(new pg.Pool())
 * await store.migrate()
 * ```
 */
export class PostgresStore implements TokenStore {
  /**
   * Schema for other migration tools. Item n takes the schema from version n to n + 1.
   *
   * Send each item as one query, because functions contain semicolons. Every statement can be
   * repeated. If PUBLIC has lost EXECUTE, grant it on the functions `token_auth_*` to the role of
   * the app.
   */
  static readonly migrations: readonly string[] = postgresMigrations

  /** The same as `PostgresStore.migrations`, with the table prefix of this store. */
  readonly migrations: readonly string[]

  readonly #db: PostgresDatabase
  readonly #setup: PostgresSetup
  readonly #rotations: RotationQueue
  readonly #feed: PostgresFeed

  /** @throws TypeError if `tablePrefix` is invalid. */
  constructor (db: PostgresDatabase, options: SqlStoreOptions = {}) {
    this.#db = withTablePrefix(db, options)
    this.migrations = addPrefix(postgresMigrations, options)
    this.#setup = new PostgresSetup(db, options)
    this.#feed = new PostgresFeed(this.#db)
    this.#rotations = new RotationQueue({
      rotateAll: attempts => this.#rotateAll(attempts),
      isDataError
    })
  }

  /**
   * Checks the version and the role of the server, the schema, and the rights of the role.
   *
   * Warns if the pool has no listener for `error`.
   *
   * @throws StoreSetupError with what is missing, and the fix.
   */
  check (): Promise<readonly string[]> {
    return this.#setup.check()
  }

  /**
   * Creates the missing tables, indexes and functions in the first schema of the search path.
   *
   * Call it before the app listens. Repeated and concurrent calls are safe. If nothing is missing,
   * it only reads, takes no lock, and works for a role that may not create anything.
   *
   * @throws StoreSetupError if a table of the same name has other columns, or if the role lacks a
   * right.
   */
  migrate (): Promise<void> {
    return this.#setup.migrate()
  }

  /**
   * Records the current schema as migrated, if another tool has created the tables.
   *
   * Call it only if the tool did not execute `migrations`, which record their versions.
   *
   * @throws StoreSetupError if a table, an index or a function is missing or differs.
   */
  baseline (): Promise<void> {
    return this.#setup.baseline()
  }

  async create (session: Session): Promise<void> {
    const values = toValues(session)
    const row = Object.fromEntries(columns.map((column, i) => [column, values[i]]))
    const [created] = await this.#query('create', [
      session.realm,
      session.userId,
      JSON.stringify(row)
    ])
    let refusal = created?.refusal ?? null

    if (refusal === 'unsure') {
      const [deleted] = await this.#query('deleteIfRevoked', [session.id])
      refusal = deleted?.before ?? null
    }

    if (refusal !== null) {
      throw new SessionRefusedError(refusal === 'id-taken' ? null : { before: Number(refusal) })
    }
  }

  rotate (attempt: RotationAttempt, { signal }: RotateOptions = {}): Promise<RotationOutcome> {
    return this.#rotations.rotate(attempt, signal)
  }

  /** Rotations that wait for the database, for metrics and `app.tokenAuth.health()`. */
  get pendingRotations (): number {
    return this.#rotations.pending
  }

  async find (realm: string, sessionId: string): Promise<Session | null> {
    const [row] = await this.#query('find', [sessionId, realm])
    return row === undefined ? null : toSession(row)
  }

  async list (
    realm: string,
    userId: string,
    { now, limit }: { readonly now: Millis, readonly limit: number }
  ): Promise<Session[]> {
    const rows = await this.#query('list', [realm, userId, now, limit])
    return rows.map(toSession)
  }

  async revoke (target: RevocationTarget, details: RevocationDetails): Promise<number> {
    const { at, reason } = details

    if ('userId' in target) {
      return this.#revokeUser(target, details)
    }

    if ('sessionId' in target) {
      const { realm, sessionId, secretHash } = target
      const values = [realm, sessionId, secretHash ?? null, at, reason]
      return (await this.#query('revokeOne', values)).length
    }

    await this.#query('revokeRealm', [target.realm, at, reason])
    return 0
  }

  async touch (batch: readonly Touch[]): Promise<void> {
    if (batch.length === 0) {
      return
    }

    await this.#query('touch', [
      toArray(batch.map(({ realm }) => realm)),
      toArray(batch.map(({ sessionId }) => sessionId)),
      toArray(batch.map(({ generation }) => generation)),
      toArray(batch.map(({ lastUsedAt }) => lastUsedAt)),
      toArray(batch.map(({ confirmedGeneration }) => confirmedGeneration)),
      toArray(batch.map(({ graceFrom }) => graceFrom)),
      toArray(batch.map(({ replayRun }) => replayRun?.generation ?? null)),
      toArray(batch.map(({ replayRun }) => replayRun?.length ?? null))
    ])
  }

  revocations (after: Cursor | FeedWindow, limit: number): Promise<RevocationPage> {
    return this.#feed.read(after, limit)
  }

  async sweep (
    { endedBefore, limit }: { readonly endedBefore: Millis, readonly limit: number }
  ): Promise<number> {
    let left = limit

    for (const name of ['sweepSessions', 'sweepNotBefores', 'sweepEntries'] as const) {
      left -= left > 0 ? await this.#sweepTable(name, endedBefore, left) : 0
    }

    return limit - left
  }

  async #sweepTable (
    name: 'sweepSessions' | 'sweepNotBefores' | 'sweepEntries',
    endedBefore: Millis,
    limit: number
  ): Promise<number> {
    let count = 0

    while (count < limit) {
      const due = limit - count
      const [row] = await this.#query(name, [endedBefore, due])
      count += Number(row?.deleted)

      if (Number(row?.deleted) + Number(row?.postponed) < due) {
        break
      }
    }

    return count
  }

  async #revokeUser (
    { realm, userId, keep }: UserTarget,
    { at, reason }: RevocationDetails
  ): Promise<number> {
    await this.#query('revokeUser', [realm, userId, keep ?? null, at, reason])
    let count = 0
    let last = { createdAt: -1, id: '' }

    for (;;) {
      const { createdAt, id } = last
      const values = [realm, userId, createdAt, id, MARK_BATCH_SIZE]
      const rows = await this.#query('markRows', values)
      count += rows.length

      if (rows.length < MARK_BATCH_SIZE) {
        return count
      }

      last = rows.map(toPlace).reduce((a, b) => isBefore(a, b) ? b : a)
    }
  }

  #rotateAll (attempts: readonly RotationAttempt[]): Promise<RotationOutcome[]> {
    return attempts.length > 1
      ? this.#rotateTogether(attempts)
      : this.#rotateOne(attempts[0] as RotationAttempt)
  }

  // The row is read after the update. If it can rotate by then, the attempt was ahead of the row,
  // and is repeated under a lock.
  async #rotateOne (attempt: RotationAttempt): Promise<RotationOutcome[]> {
    const [row] = await this.#query('rotateOne', toParameters(attempt))
    const outcome = typeof row?.outcome === 'string' ? row.outcome : ''
    const swapped = outcome.startsWith('+')
    const session = outcome === '' ? null : toSession(JSON.parse(outcome.slice(1)) as Row)

    if (swapped || session === null || !canRotate(session, attempt)) {
      return [{ swapped, session }]
    }

    return [
      (await this.#rotateBy('rotate', [attempt])).get(attempt.sessionId) ??
        { swapped: false, session: null }
    ]
  }

  // Sorted by ID, so that two instances that rotate the same sessions do not deadlock. If the plan
  // has another order, PostgreSQL detects a deadlock after 1 s.
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
    const parameters = attempts.map(toParameters)
    const rows = await this.#query(
      name,
      (parameters[0] as SqlValue[]).map((_, i) =>
        toArray(parameters.map(values => values[i] as SqlValue))
      )
    )

    return new Map(
      rows.map(row => [row.id, { swapped: row.swapped === true, session: toSession(row) }])
    )
  }

  #query (name: keyof typeof statements, values: unknown[]): Promise<Row[]> {
    return runStatement(this.#db, statements[name], values)
  }
}

/** Place of a session in the order of creation. */
interface Place {
  readonly createdAt: Millis
  readonly id: string
}

function toPlace (row: Row): Place {
  return { createdAt: Number(row.created_at), id: row.id as string }
}

function isBefore (a: Place, b: Place): boolean {
  return a.createdAt < b.createdAt || (a.createdAt === b.createdAt && a.id < b.id)
}

/** Returns an attempt in the order of the parameters of all rotations. */
function toParameters (attempt: RotationAttempt): SqlValue[] {
  const { realm, sessionId, secretHash, from, to, heals, now, expiresAt, by } = attempt

  return [
    realm,
    sessionId,
    secretHash,
    from,
    to,
    String(heals),
    now,
    expiresAt,
    attempt.graceBefore,
    attempt.graceAfter,
    by.address,
    by.userAgent
  ]
}
