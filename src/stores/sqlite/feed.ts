import { HOUR } from '../../lib/time.js'
import type { Millis } from '../../lib/time.js'
import type { Row } from '../sql/rows.js'
import type {
  Cursor,
  FeedWindow,
  RealmRevocation,
  Revocation,
  RevocationPage
} from '../token-store.js'
import type { SqliteConnection } from './connection.js'

/** Window of a reader whose cursor is not valid. */
const DEFAULT_WINDOW: Millis = 25 * HOUR

// SQLite counts time in whole milliseconds, and `round` removes the error of the division.
const clock = 'CAST(round((julianday(\'now\') - 2440587.5) * 86400000) AS INTEGER)'

// `+id` makes SQLite use the index by time. Without it, SQLite reads the table from its beginning.
const firstInWindow = `SELECT min(+id) FROM token_auth_revocations WHERE stored_at >= ${clock} - ?`

const statements = {
  add: `INSERT INTO token_auth_revocations (stored_at, entry) VALUES (${clock}, ?)`,
  continue: readFrom('?'),
  // If the window is empty, the last entry is read, because the cursor must name one.
  start: readFrom(
    `coalesce((${firstInWindow}), (SELECT max(id) FROM token_auth_revocations))`
  ),
  findRealms: 'SELECT realm, at, reason, not_before FROM token_auth_realm_not_befores',
  sweep: `
    DELETE FROM token_auth_revocations WHERE id IN (
      SELECT id FROM token_auth_revocations WHERE stored_at < ? ORDER BY stored_at LIMIT ?
    )`
} as const

/** Last entry that a reader has seen. */
interface Position {
  readonly id: number
  /** Random number of the entry. A restored backup may hold another entry with the same ID. */
  readonly mark: number
}

interface Entry extends Position {
  readonly storedAt: Millis
  readonly revocation: Revocation
}

/** Position before the first entry. Valid in every file, because nothing is older. */
const BEGINNING: Position = { id: 0, mark: 0 }

/**
 * Revocations by ascending IDs. SQLite has one writer at a time, so IDs ascend in the order of the
 * commits.
 */
export class SqliteFeed {
  readonly #db: SqliteConnection

  constructor (db: SqliteConnection) {
    this.#db = db
  }

  /** Adds an entry. Call it in the transaction that revokes. */
  add (revocation: Revocation): void {
    this.#db.run(statements.add, [JSON.stringify(revocation)])
  }

  read (after: Cursor | FeedWindow, limit: number): RevocationPage {
    if (typeof after !== 'string') {
      return this.#start(after.within, limit)
    }

    const position = parseCursor(after)
    const page = position === null ? null : this.#continue(position, limit)
    return page ?? this.#start(DEFAULT_WINDOW, limit)
  }

  sweep (endedBefore: Millis, limit: number): Promise<number> {
    return this.#db.sweepWrite(statements.sweep, [endedBefore, limit])
  }

  /** Returns `null` if the entry of the position is gone. */
  #continue (position: Position, limit: number): RevocationPage | null {
    // One more than the limit shows whether there is another page.
    if (position.id === BEGINNING.id) {
      const { now, entries } = this.#read(statements.continue, position.id, limit + 1)
      return toPage(now, entries, limit, position)
    }

    const { now, entries } = this.#read(statements.continue, position.id, limit + 2)
    const [anchor, ...news] = entries

    return anchor?.id === position.id && anchor.mark === position.mark
      ? toPage(now, news, limit, position)
      : null
  }

  #start (within: Millis, limit: number): RevocationPage {
    // Reads them before the entries, which contain a not-before that is set in between.
    const realms = this.#db.all(statements.findRealms).map(toRealmRevocation)
    const { now, entries } = this.#read(statements.start, within, limit + 1)
    const page = toPage(now, entries, limit, BEGINNING, now - within)
    return { ...page, entries: [...realms, ...page.entries] }
  }

  #read (sql: string, from: number, limit: number): { now: Millis, entries: Entry[] } {
    const [row] = this.#db.all(sql, [from, limit])
    const tuples = JSON.parse(row?.entries as string) as Array<[number, number, Millis, Revocation]>

    return {
      now: Number(row?.now),
      entries: tuples.map(([id, mark, storedAt, revocation]) => ({
        id,
        mark,
        storedAt,
        revocation
      }))
    }
  }
}

// Reads one value, because drivers take longer to return 5,000 rows than SQLite to read them.
function readFrom (firstId: string): string {
  return `
    SELECT ${clock} AS now, (
      SELECT json_group_array(json_array(id, mark, stored_at, json(entry))) FROM (
        SELECT * FROM token_auth_revocations WHERE id >= ${firstId} ORDER BY id LIMIT ?
      )
    ) AS entries`
}

/** @param from - Earliest moment of storage that is shown. */
function toPage (
  now: Millis,
  entries: readonly Entry[],
  limit: number,
  position: Position,
  from: Millis = -Infinity
): RevocationPage {
  const page = entries.slice(0, limit)

  return {
    now,
    cursor: formatCursor(page.at(-1) ?? position),
    complete: entries.length <= limit,
    entries: page
      .filter(({ storedAt }) => storedAt >= from)
      .map(({ revocation }) => revocation)
  }
}

function toRealmRevocation (row: Row): RealmRevocation {
  return {
    realm: row.realm as string,
    at: Number(row.at),
    reason: row.reason as RealmRevocation['reason'],
    before: Number(row.not_before)
  }
}

function formatCursor ({ id, mark }: Position): Cursor {
  return `${id}.${mark}`
}

function parseCursor (cursor: Cursor): Position | null {
  const [, id, mark] = /^(\d{1,15})\.(\d{1,13})$/.exec(cursor) ?? []
  return id === undefined ? null : { id: Number(id), mark: Number(mark) }
}
