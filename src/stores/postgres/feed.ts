import { HOUR } from '../../lib/time.js'
import type { Millis } from '../../lib/time.js'
import type { Row } from '../sql/rows.js'
import type { Cursor, FeedWindow, Revocation, RevocationPage } from '../token-store.js'
import { isDataError, runStatement } from './database.js'
import type { PostgresDatabase } from './database.js'

/** Window of a reader whose cursor is not valid. */
const DEFAULT_WINDOW: Millis = 25 * HOUR

// A read that takes several pages goes up to the snapshot of its first page. It is complete only if
// nothing was committed since. Another server, or a restored copy of the table, numbers
// transactions differently.
const here = `
  WITH here AS MATERIALIZED (
    SELECT coalesce($1::text::txid_snapshot, txid_current_snapshot()) AS upto,
      coalesce($1::text = txid_current_snapshot()::text, true) AS is_current,
      floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now,
      concat(
        (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint, '-',
        'token_auth_revocations'::regclass::oid
      ) AS server
  )`

/** Every transaction from this number on began after the snapshot of the last complete read. */
const endOfLastRead = 'txid_snapshot_xmax($3::text::txid_snapshot)'

// Entries of transactions that were open in the snapshot of the last complete read.
const entriesOfOpen = `
          SELECT r.xid AS place, r.id, r.entry FROM token_auth_revocations r
          WHERE r.xid = ANY (ARRAY(
              SELECT x FROM txid_snapshot_xip($3::text::txid_snapshot) AS x
              WHERE x >= $4::bigint AND txid_visible_in_snapshot(x, here.upto)
            ))
            AND (r.xid, r.id) > ($4::bigint, $5::bigint)
          ORDER BY r.xid, r.id LIMIT $2::bigint`

// Entries of later transactions. The ID of the last entry only counts within its transaction.
const entriesOfLater = `
          SELECT r.xid, r.id, r.entry FROM token_auth_revocations r
          WHERE (r.xid, r.id) > (
              greatest($4::bigint, ${endOfLastRead}),
              CASE WHEN $4::bigint >= ${endOfLastRead} THEN $5::bigint ELSE 0 END
            )
            AND r.xid < txid_snapshot_xmax(here.upto) AND txid_visible_in_snapshot(r.xid, here.upto)
          ORDER BY r.xid, r.id LIMIT $2::bigint`

/** Statements of {@link PostgresFeed}. */
export const feedStatements = {
  // Reads by the moments of storage, because a restored backup has the transaction numbers of
  // another server. Entries that commit during the read come with the first difference. The moment
  // is a column of `here`, because a volatile clock in WHERE would read the index from its start.
  // $1 snapshot that the read goes up to (null: now), $2 limit, $3 window (null if it continues),
  // $4 and $5 moment and ID of the last entry
  window: `${here}
    SELECT here.upto::text AS upto, here.is_current, here.now, here.server, f.place, f.id, f.entry
    FROM here LEFT JOIN LATERAL (
      (SELECT r.stored_at AS place, r.id, r.entry FROM token_auth_revocations r
      WHERE (r.stored_at, r.id) > (coalesce($4::bigint, here.now - $3::bigint), $5::bigint)
      ORDER BY r.stored_at, r.id LIMIT $2::bigint)
      UNION ALL
      SELECT NULL, NULL, json_build_object(
        'realm', n.realm, 'at', n.at, 'reason', n.reason, 'before', n.before
      )::text
      FROM token_auth_realm_not_befores n WHERE $4::bigint IS NULL
    ) f ON true`,
  // Reads what became visible between two snapshots: entries of transactions that were open in the
  // first one, and of later ones. Each part has one lower bound, because PostgreSQL would read
  // everything between two.
  // $1 and $2 as above, $3 snapshot of the last complete read, $4 and $5 transaction and ID of the
  // last entry
  difference: `${here}
    SELECT here.upto::text AS upto, here.is_current, here.now, here.server, f.place, f.id, f.entry,
      txid_snapshot_xmax(txid_current_snapshot()) < ${endOfLastRead}
        AS is_behind
    FROM here LEFT JOIN LATERAL (
      SELECT * FROM (
        (${entriesOfOpen}
        )
        UNION ALL
        (${entriesOfLater}
        )
      ) parts
      ORDER BY place, id LIMIT $2::bigint
    ) f ON true`
} as const

/** Place of a reader. Snapshots and numbers are strings as PostgreSQL prints them. */
interface Position {
  readonly server: string
  /** Snapshot of the last complete read; `null` during the read of a window. */
  readonly from: string | null
  /** Snapshot that an incomplete read goes up to; `null` after a complete one. */
  readonly upto: string | null
  /** Moment or transaction, and ID, of the last entry of an incomplete read. */
  readonly last: readonly [place: string, id: string]
}

const START = ['0', '0'] as const
const FORM = /^(\d+-\d+);([\d:,]*);([\d:,]*);(\d+);(\d+)$/

/** Reads the feed by differences of snapshots, which miss no entry, however late it commits. */
export class PostgresFeed {
  readonly #db: PostgresDatabase

  constructor (db: PostgresDatabase) {
    this.#db = db
  }

  async read (after: Cursor | FeedWindow, limit: number): Promise<RevocationPage> {
    if (typeof after !== 'string') {
      return this.#readWindow(after.within, limit)
    }

    const position = parsePosition(after)
    const page = position === null ? null : await this.#continue(position, limit)
    return page ?? this.#readWindow(DEFAULT_WINDOW, limit)
  }

  async #readWindow (within: Millis, limit: number): Promise<RevocationPage> {
    const rows = await runStatement(this.#db, feedStatements.window, [
      null,
      limit + 1,
      Math.ceil(within),
      null,
      0
    ])
    return toPage(rows, limit, null)
  }

  /** Returns `null` if the database cannot continue from a position. */
  async #continue (position: Position, limit: number): Promise<RevocationPage | null> {
    const { server, from, upto, last } = position
    const text = from === null ? feedStatements.window : feedStatements.difference
    let rows: Row[]

    try {
      rows = await runStatement(this.#db, text, [upto, limit + 1, from, ...last])
    } catch (error) {
      if (isDataError(error)) {
        return null
      }

      throw error
    }

    // After a crash, PostgreSQL may assign the numbers of rolled-back transactions again.
    const isValid = rows[0]?.server === server && rows[0]?.is_behind !== true
    return isValid ? toPage(rows, limit, position) : null
  }
}

function toPage (rows: readonly Row[], limit: number, position: Position | null): RevocationPage {
  const [{ now, server, upto, is_current: isCurrent }] = rows as [Row]
  const shown = rows.filter(({ id }) => id !== null)
  const page = shown.slice(0, limit)
  const realms = rows.filter(({ id, entry }) => id === null && entry !== null)
  const isAtEnd = shown.length <= limit
  const { place, id } = page.at(-1) ?? {}
  const next: Position = isAtEnd
    ? { server: server as string, from: upto as string, upto: null, last: START }
    : {
      server: server as string,
      from: position?.from ?? null,
      upto: upto as string,
      last: [String(place), String(id)]
    }

  return {
    now: Number(now),
    cursor: formatPosition(next),
    complete: isAtEnd && isCurrent === true,
    entries: [...realms, ...page].map(({ entry }) => JSON.parse(entry as string) as Revocation)
  }
}

function formatPosition ({ server, from, upto, last }: Position): Cursor {
  return [server, from ?? '', upto ?? '', ...last].join(';')
}

function parsePosition (cursor: Cursor): Position | null {
  const [, server, from, upto, place, id] = FORM.exec(cursor) ?? []

  if (server === undefined || (from === '' && upto === '')) {
    return null
  }

  return {
    server,
    from: from === '' ? null : from as string,
    upto: upto === '' ? null : upto as string,
    last: [place as string, id as string]
  }
}
