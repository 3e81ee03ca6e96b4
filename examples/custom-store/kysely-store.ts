import { sql } from 'kysely'
import type { Kysely, Selectable } from 'kysely'
import { SessionRefusedError, StoreSetupError } from 'fastify-token-auth'
import type {
  Cursor,
  FeedWindow,
  Millis,
  RealmTarget,
  Revocation,
  RevocationDetails,
  RevocationPage,
  RevocationTarget,
  RotateOptions,
  RotationAttempt,
  RotationOutcome,
  Session,
  SessionTarget,
  TokenStore,
  Touch,
  UserTarget
} from 'fastify-token-auth'
import { columns, schema, toRow, toSession } from './tables.js'
import type { Tables } from './tables.js'

/** Window of a reader whose cursor is not valid. */
const DEFAULT_WINDOW = 25 * 60 * 60 * 1000

// The feed is timed by the clock of the database, in milliseconds.
const clock = sql<number>`CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER)`

// The not-before is the truth. The mark on the row shows it to lists and sweeps.
const isUnrevoked = sql<boolean>`revoked_at IS NULL AND NOT EXISTS (
  SELECT 1 FROM auth_not_before AS n
  WHERE n.realm = auth_session.realm
    AND (n.user_id IS NULL OR n.user_id = auth_session.user_id)
    AND n.before >= auth_session.authenticated_at
    AND (n.keep IS NULL OR n.keep <> auth_session.id)
)`

/**
 * Token store on Kysely, as a template for a store of your own.
 *
 * A store implements the nine methods of `TokenStore`. The conformance suite beside this file
 * tests them. This version uses the dialect of SQLite. Its feed relies on SQLite, which has one
 * writer at a time: IDs ascend in the order of the commits.
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
    for (const statement of schema) {
      await statement.execute(this.#db)
    }
  }

  async check (): Promise<readonly string[]> {
    const found = new Map(
      (await this.#db.introspection.getTables()).map(table => [
        table.name,
        new Set(table.columns.map(({ name }) => name))
      ])
    )
    const problems = Object.entries(columns).flatMap(([table, names]) =>
      names
        .filter(name => found.get(table)?.has(name) !== true)
        .map(name => `column "${table}.${name}" is missing`)
    )

    if (problems.length > 0) {
      throw new StoreSetupError(problems, 'run "await store.migrate()"')
    }

    return []
  }

  async create (session: Session): Promise<void> {
    const [latest] = await this.#notBeforesOf(session).orderBy('before', 'desc').execute()
    const isTaken = await this.#db
      .selectFrom('auth_session')
      .select('id')
      .where('id', '=', session.id)
      .executeTakeFirst() !== undefined

    if (isTaken || latest !== undefined) {
      throw new SessionRefusedError(isTaken ? null : latest as { before: number })
    }

    // A not-before that is recorded in the meantime ends the session all the same.
    const { numInsertedOrUpdatedRows: inserted } = await this.#db
      .insertInto('auth_session')
      .values(toRow(session))
      .onConflict(conflict => conflict.column('id').doNothing())
      .executeTakeFirstOrThrow()

    if (inserted === 0n) {
      throw new SessionRefusedError(null)
    }
  }

  async rotate (
    attempt: RotationAttempt,
    { signal }: RotateOptions = {}
  ): Promise<RotationOutcome> {
    signal?.throwIfAborted()
    // One statement checks and writes. With a check before it, two attempts could both succeed.
    const [row] = await this.#db
      .updateTable('auth_session')
      .set({
        generation: attempt.to,
        rotated_at: attempt.now,
        rotated_by: JSON.stringify(attempt.by),
        grace_from: sql`max(grace_from, ${attempt.now})`,
        last_used_at: sql`max(last_used_at, ${attempt.now})`,
        expires_at: sql`min(${attempt.expiresAt}, ends_at)`,
        ...attempt.heals && { confirmed_generation: attempt.to }
      })
      .where('id', '=', attempt.sessionId)
      .where('realm', '=', attempt.realm)
      .where('secret_hash', '=', attempt.secretHash)
      .where('generation', '=', attempt.from)
      .where(isUnrevoked)
      .$if(!attempt.heals, update =>
        update
          .where('expires_at', '>', attempt.now)
          .where(({ or, eb }) =>
            or([
              eb('generation', '=', 0),
              eb('grace_from', '<=', attempt.graceBefore),
              eb('grace_from', '>', attempt.graceAfter)
            ])
          ))
      .returningAll()
      .execute()

    return row === undefined
      ? { swapped: false, session: await this.find(attempt.realm, attempt.sessionId) }
      : { swapped: true, session: toSession(row) }
  }

  async find (realm: string, sessionId: string): Promise<Session | null> {
    const row = await this.#db
      .selectFrom('auth_session')
      .selectAll()
      .where('id', '=', sessionId)
      .where('realm', '=', realm)
      .executeTakeFirst()

    if (row === undefined) {
      return null
    }

    const session = toSession(row)
    const [first] = session.revokedAt === null
      ? await this.#notBeforesOf(session).orderBy('at').execute()
      : []

    return first === undefined ? session : {
      ...session,
      revokedAt: Number(first.at),
      revokedFor: first.reason as Session['revokedFor']
    }
  }

  async list (
    realm: string,
    userId: string,
    { now, limit }: { now: Millis, limit: number }
  ): Promise<Session[]> {
    const rows = await this.#db
      .selectFrom('auth_session')
      .selectAll()
      .where('realm', '=', realm)
      .where('user_id', '=', userId)
      .where(isUnrevoked)
      .where('expires_at', '>', now)
      .orderBy('id', 'desc')
      .limit(limit)
      .execute()
    return rows.map(toSession)
  }

  // One transaction: the entry of the feed appears together with what it tells of.
  revoke (target: RevocationTarget, details: RevocationDetails): Promise<number> {
    return this.#db.transaction().execute(db => {
      const store = new KyselyStore(db)

      return 'sessionId' in target
        ? store.#revokeSession(target, details)
        : 'userId' in target
        ? store.#revokeUser(target, details)
        : store.#revokeRealm(target, details)
    })
  }

  async #revokeSession (
    { realm, sessionId, secretHash }: SessionTarget,
    { at, reason }: RevocationDetails
  ): Promise<number> {
    const row = await this.#db
      .updateTable('auth_session')
      .set({ revoked_at: at, revoked_for: reason })
      .where('id', '=', sessionId)
      .where('realm', '=', realm)
      .where(isUnrevoked)
      .$if(
        secretHash !== undefined,
        update => update.where('secret_hash', '=', secretHash as string)
      )
      .returning('user_id')
      .executeTakeFirst()

    if (row === undefined) {
      return 0
    }

    await this.#tell({ realm, at, reason, sessionId, userId: row.user_id })
    return 1
  }

  async #revokeUser (
    { realm, userId, keep }: UserTarget,
    { at, reason }: RevocationDetails
  ): Promise<number> {
    const unrevoked = await this.#db
      .selectFrom('auth_session')
      .select(({ fn }) => fn.max('created_at').as('created_at'))
      .where('realm', '=', realm)
      .where('user_id', '=', userId)
      .where(isUnrevoked)
      .executeTakeFirst()
    const { numUpdatedRows: marked } = await this.#db
      .updateTable('auth_session')
      .set({ revoked_at: at, revoked_for: reason })
      .where('realm', '=', realm)
      .where('user_id', '=', userId)
      .where(isUnrevoked)
      .$if(keep !== undefined, update => update.where('id', '!=', keep as string))
      .executeTakeFirstOrThrow()
    const before = Math.max(at, Number(unrevoked?.created_at ?? at))
    await this.#db
      .insertInto('auth_not_before')
      .values({ realm, user_id: userId, before, keep: keep ?? null, at, reason })
      .execute()
    await this.#tell({ realm, at, reason, userId, before, ...keep !== undefined && { keep } })
    return Number(marked)
  }

  async #revokeRealm (
    { realm }: RealmTarget,
    { at, reason }: RevocationDetails
  ): Promise<number> {
    const last = await this.#db
      .selectFrom('auth_not_before')
      .select('before')
      .where('realm', '=', realm)
      .where('user_id', 'is', null)
      .executeTakeFirst()

    if (last === undefined || last.before < at) {
      await this.#db
        .deleteFrom('auth_not_before')
        .where('realm', '=', realm)
        .where('user_id', 'is', null)
        .execute()
      await this.#db
        .insertInto('auth_not_before')
        .values({ realm, user_id: null, before: at, keep: null, at, reason })
        .execute()
      await this.#tell({ realm, at, reason, before: at })
    }

    return 0
  }

  async touch (batch: readonly Touch[]): Promise<void> {
    for (const touch of batch) {
      const { generation, graceFrom, replayRun } = touch
      const isCurrent = sql`generation = ${generation}`
      const isNewRun = sql`${isCurrent} AND replay_generation < ${replayRun?.generation ?? 0}`
      await this.#db
        .updateTable('auth_session')
        .set({
          last_used_at: sql`max(last_used_at, ${touch.lastUsedAt})`,
          confirmed_generation:
            sql`max(confirmed_generation, min(${touch.confirmedGeneration}, generation))`,
          grace_from: sql`max(grace_from, iif(${isCurrent}, ${graceFrom ?? 0}, 0))`,
          replay_generation: sql`iif(${isNewRun}, ${
            replayRun?.generation ?? 0
          }, replay_generation)`,
          replay_length: sql`iif(${isNewRun}, ${replayRun?.length ?? 0}, replay_length)`
        })
        .where('id', '=', touch.sessionId)
        .where('realm', '=', touch.realm)
        .execute()
    }
  }

  // The cursor is the ID of the last entry that the reader has seen; 0 if there was none.
  async revocations (after: Cursor | FeedWindow, limit: number): Promise<RevocationPage> {
    if (typeof after !== 'string') {
      return this.#startWindow(after.within, limit)
    }

    const last = /^\d{1,15}$/.test(after) ? Number(after) : -1
    const rows = await this.#readEntries(last, limit + 2)

    if (last === 0) {
      return toPage(await this.#now(), rows, limit, last)
    }

    // Without its last entry, the reader cannot know what it missed. It starts a window.
    return rows[0]?.id === last
      ? toPage(await this.#now(), rows.slice(1), limit, last)
      : this.#startWindow(DEFAULT_WINDOW, limit)
  }

  async #startWindow (within: Millis, limit: number): Promise<RevocationPage> {
    const now = await this.#now()
    const realms = await this.#db
      .selectFrom('auth_not_before')
      .selectAll()
      .where('user_id', 'is', null)
      .execute()
    const { first, last } = await this.#db
      .selectFrom('auth_revocation')
      .select(({ fn }) => [
        fn.max('id').as('last'),
        sql<number | null>`min(iif(stored_at >= ${now - within}, id, NULL))`.as('first')
      ])
      .executeTakeFirstOrThrow()
    const rows = first === null ? [] : await this.#readEntries(first, limit + 1)
    const page = toPage(now, rows, limit, last ?? 0)

    return {
      ...page,
      entries: [
        ...realms.map(({ realm, at, reason, before }) => ({ realm, at, reason, before })),
        ...page.entries
      ] as Revocation[]
    }
  }

  #readEntries (from: number, limit: number): Promise<Entry[]> {
    return this.#db
      .selectFrom('auth_revocation')
      .selectAll()
      .where('id', '>=', from)
      .orderBy('id')
      .limit(limit)
      .execute()
  }

  async #now (): Promise<Millis> {
    const { now } = await this.#db.selectNoFrom(clock.as('now')).executeTakeFirstOrThrow()
    return Number(now)
  }

  async #tell (revocation: Revocation): Promise<void> {
    await this.#db
      .insertInto('auth_revocation')
      .values({ stored_at: clock, entry: JSON.stringify(revocation) })
      .execute()
  }

  async sweep ({ endedBefore, limit }: { endedBefore: Millis, limit: number }): Promise<number> {
    // Not-befores after sessions: a not-before goes with the last session that it ends.
    const statements = [
      (limit: number) =>
        sql`DELETE FROM auth_session WHERE id IN (
          SELECT id FROM auth_session WHERE expires_at < ${endedBefore} LIMIT ${limit}
        )`,
      (limit: number) =>
        sql`DELETE FROM auth_not_before WHERE rowid IN (
          SELECT rowid FROM auth_not_before AS n
          WHERE user_id IS NOT NULL AND before < ${endedBefore} AND NOT EXISTS (
            SELECT 1 FROM auth_session AS s
            WHERE s.realm = n.realm AND s.user_id = n.user_id AND s.authenticated_at <= n.before
          ) LIMIT ${limit}
        )`,
      (limit: number) =>
        sql`DELETE FROM auth_revocation WHERE id IN (
          SELECT id FROM auth_revocation WHERE stored_at < ${endedBefore} LIMIT ${limit}
        )`
    ]
    let count = 0

    for (const createStatement of statements) {
      const { numAffectedRows } = await createStatement(limit - count).execute(this.#db)
      count += Number(numAffectedRows)
    }

    return count
  }

  /** Selects the not-befores that end a session. */
  #notBeforesOf ({ id, realm, userId, authenticatedAt }: Session) {
    return this.#db
      .selectFrom('auth_not_before')
      .selectAll()
      .where('realm', '=', realm)
      .where(({ or, eb }) => or([eb('user_id', 'is', null), eb('user_id', '=', userId)]))
      .where('before', '>=', authenticatedAt)
      .where(({ or, eb }) => or([eb('keep', 'is', null), eb('keep', '!=', id)]))
  }
}

type Entry = Selectable<Tables['auth_revocation']>

/** @param last - ID of the last entry that the reader has seen. */
function toPage (now: Millis, rows: Entry[], limit: number, last: number): RevocationPage {
  const page = rows.slice(0, limit)

  return {
    now,
    cursor: String(page.at(-1)?.id ?? last),
    complete: rows.length <= limit,
    entries: page.map(({ entry }) => JSON.parse(entry))
  }
}
