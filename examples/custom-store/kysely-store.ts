import { sql } from 'kysely'
import type { Insertable, Kysely, Selectable } from 'kysely'
import { SessionRefusedError } from 'fastify-token-auth'
import type {
  Cursor,
  Millis,
  Revocation,
  RevocationReason,
  RevocationTarget,
  RotationAttempt,
  RotationOutcome,
  Session,
  TokenStore,
  Touch
} from 'fastify-token-auth'

/** Tables of the store, for the type parameter of `Kysely`. */
export interface Tables {
  auth_session: SessionTable
  auth_revoked_user: { user_id: string, revoked_at: number }
}

interface SessionTable {
  id: string
  user_id: string
  secret_hash: string
  generation: number
  confirmed_generation: number
  rotated_at: number
  last_used_at: number
  expires_at: number
  ends_at: number
  created_at: number
  revoked_at: number | null
  revoked_for: string | null
  /** Members that no query reads, as JSON. */
  rotated_by: string
  fixed: string
}

/**
 * Token store on Kysely, as a template for a store of your own.
 *
 * A store implements the eight methods of `TokenStore`. The conformance suite beside this file
 * tests them. This version uses the dialect of SQLite.
 *
 * @example
 * ```ts
 * const store = new KyselyStore(new Kysely<Tables>({ dialect }))
 * await store.migrate()
 * ```
 */
export class KyselyStore implements TokenStore {
  readonly #db: Kysely<Tables>

  constructor (db: Kysely<Tables>) {
    this.#db = db
  }

  /** Creates the tables and indexes, unless they exist. */
  async migrate (): Promise<void> {
    const { schema } = this.#db
    const numbers = [
      'generation',
      'confirmed_generation',
      'rotated_at',
      'last_used_at',
      'expires_at',
      'ends_at',
      'created_at'
    ]
    let table = schema
      .createTable('auth_session')
      .ifNotExists()
      .addColumn('id', 'text', column => column.primaryKey())

    for (const name of ['user_id', 'secret_hash', 'rotated_by', 'fixed']) {
      table = table.addColumn(name, 'text', column => column.notNull())
    }

    for (const name of numbers) {
      table = table.addColumn(name, 'bigint', column => column.notNull())
    }

    await table
      .addColumn('revoked_at', 'bigint')
      .addColumn('revoked_for', 'text')
      .execute()
    await schema
      .createTable('auth_revoked_user')
      .ifNotExists()
      .addColumn('user_id', 'text', column => column.primaryKey())
      .addColumn('revoked_at', 'bigint')
      .execute()
    await schema
      .createIndex('auth_session_by_user')
      .ifNotExists()
      .on('auth_session')
      .column('user_id')
      .execute()
    await schema
      .createIndex('auth_session_by_expiry')
      .ifNotExists()
      .on('auth_session')
      .column('expires_at')
      .execute()
  }

  async create (session: Session): Promise<void> {
    const { numInsertedOrUpdatedRows: inserted } = await this.#db
      .insertInto('auth_session')
      .values(toRow(session))
      .onConflict(conflict => conflict.column('id').doNothing())
      .executeTakeFirstOrThrow()

    if (inserted === 0n) {
      throw new SessionRefusedError('id-taken')
    }

    // Read after the insert: a concurrent revocation either revokes the row, or is found here.
    const revokedUser = await this.#db
      .selectFrom('auth_revoked_user')
      .selectAll()
      .where('user_id', '=', session.userId)
      .where('revoked_at', '>=', session.authenticatedAt)
      .executeTakeFirst()

    if (revokedUser !== undefined) {
      await this.#db.deleteFrom('auth_session').where('id', '=', session.id).execute()
      throw new SessionRefusedError('revoked-since')
    }
  }

  async rotate (attempt: RotationAttempt): Promise<RotationOutcome> {
    // One statement checks and writes. With a check before it, two attempts could both succeed.
    const [row] = await this.#db
      .updateTable('auth_session')
      .set(({ fn, ref, val }) => ({
        generation: sql`generation + 1`,
        rotated_at: attempt.now,
        rotated_by: JSON.stringify(attempt.by),
        last_used_at: fn('max', [ref('last_used_at'), val(attempt.now)]),
        expires_at: fn('min', [val(attempt.expiresAt), ref('ends_at')])
      }))
      .where('id', '=', attempt.sessionId)
      .where('secret_hash', '=', attempt.secretHash)
      .where('generation', '=', attempt.generation)
      .where('revoked_at', 'is', null)
      .where('expires_at', '>', attempt.now)
      .where(({ or, eb }) =>
        or([
          eb('generation', '=', 0),
          eb('rotated_at', '<=', attempt.rotatedBefore),
          eb('rotated_at', '>', attempt.rotatedAfter)
        ])
      )
      .returningAll()
      .execute()

    return row === undefined
      ? { swapped: false, session: await this.find(attempt.sessionId) }
      : { swapped: true, session: toSession(row) }
  }

  async find (sessionId: string): Promise<Session | null> {
    const row = await this.#db
      .selectFrom('auth_session')
      .selectAll()
      .where('id', '=', sessionId)
      .executeTakeFirst()
    return row === undefined ? null : toSession(row)
  }

  async list (userId: string, { now, limit }: { now: Millis, limit: number }): Promise<Session[]> {
    const rows = await this.#db
      .selectFrom('auth_session')
      .selectAll()
      .where('user_id', '=', userId)
      .where('revoked_at', 'is', null)
      .where('expires_at', '>', now)
      .orderBy('created_at', 'desc')
      .limit(limit)
      .execute()
    return rows.map(toSession)
  }

  async revoke (
    target: RevocationTarget,
    { at, reason }: { at: Millis, reason: RevocationReason }
  ): Promise<number> {
    let update = this.#db
      .updateTable('auth_session')
      .set({ revoked_at: at, revoked_for: reason })
      .where('revoked_at', 'is', null)

    if ('sessionId' in target) {
      update = update.where('id', '=', target.sessionId)
    } else {
      await this.#db
        .insertInto('auth_revoked_user')
        .values({ user_id: target.userId, revoked_at: at })
        .onConflict(conflict =>
          conflict.column('user_id').doUpdateSet({
            revoked_at: sql`max(auth_revoked_user.revoked_at, excluded.revoked_at)`
          })
        )
        .execute()
      update = update.where('user_id', '=', target.userId)

      if (target.keep !== undefined) {
        update = update.where('id', '!=', target.keep)
      }
    }

    return Number((await update.executeTakeFirstOrThrow()).numUpdatedRows)
  }

  async touch (batch: readonly Touch[]): Promise<void> {
    for (const { sessionId, lastUsedAt, confirmedGeneration } of batch) {
      await this.#db
        .updateTable('auth_session')
        .set({
          last_used_at: sql`max(last_used_at, ${lastUsedAt})`,
          confirmed_generation:
            sql`max(confirmed_generation, min(${confirmedGeneration}, generation))`
        })
        .where('id', '=', sessionId)
        .execute()
    }
  }

  async revocations (after: Cursor, limit: number): Promise<Revocation[]> {
    const rows = await this.#db
      .selectFrom('auth_session')
      .select(['id', 'revoked_at'])
      .where(({ or, and, eb }) =>
        or([
          eb('revoked_at', '>', after.at),
          and([eb('revoked_at', '=', after.at), eb('id', '>', after.sessionId)])
        ])
      )
      .orderBy('revoked_at')
      .orderBy('id')
      .limit(limit)
      .execute()
    return rows.map(row => ({ at: Number(row.revoked_at), sessionId: row.id }))
  }

  async sweep ({ endedBefore, limit }: { endedBefore: Millis, limit: number }): Promise<number> {
    const expiredIds = this.#db
      .selectFrom('auth_session')
      .select('id')
      .where('expires_at', '<', endedBefore)
      .limit(limit)
    const { numDeletedRows: sessions } = await this.#db
      .deleteFrom('auth_session')
      .where('id', 'in', expiredIds)
      .executeTakeFirstOrThrow()
    const remaining = limit - Number(sessions)

    if (remaining === 0) {
      return limit
    }

    const userIds = this.#db
      .selectFrom('auth_revoked_user')
      .select('user_id')
      .where('revoked_at', '<', endedBefore)
      .limit(remaining)
    const { numDeletedRows: users } = await this.#db
      .deleteFrom('auth_revoked_user')
      .where('user_id', 'in', userIds)
      .executeTakeFirstOrThrow()
    return Number(sessions) + Number(users)
  }
}

function toRow (session: Session): Insertable<SessionTable> {
  const { authenticatedAt, device } = session

  return {
    id: session.id,
    user_id: session.userId,
    secret_hash: session.secretHash,
    generation: session.generation,
    confirmed_generation: session.confirmedGeneration,
    rotated_at: session.rotatedAt,
    last_used_at: session.lastUsedAt,
    expires_at: session.expiresAt,
    ends_at: session.endsAt,
    created_at: session.createdAt,
    revoked_at: session.revokedAt,
    revoked_for: session.revokedFor,
    rotated_by: JSON.stringify(session.rotatedBy),
    fixed: JSON.stringify({ authenticatedAt, device })
  }
}

function toSession (row: Selectable<SessionTable>): Session {
  return {
    id: row.id,
    userId: row.user_id,
    secretHash: row.secret_hash,
    generation: Number(row.generation),
    confirmedGeneration: Number(row.confirmed_generation),
    createdAt: Number(row.created_at),
    rotatedAt: Number(row.rotated_at),
    lastUsedAt: Number(row.last_used_at),
    expiresAt: Number(row.expires_at),
    endsAt: Number(row.ends_at),
    revokedAt: row.revoked_at === null ? null : Number(row.revoked_at),
    revokedFor: row.revoked_for as RevocationReason | null,
    rotatedBy: JSON.parse(row.rotated_by),
    ...JSON.parse(row.fixed)
  }
}
