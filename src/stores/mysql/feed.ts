import { HOUR, MINUTE, SECOND } from '../../lib/time.js'
import type { Millis } from '../../lib/time.js'
import type { Row } from '../sql/rows.js'
import type { RevocationReason } from '../../domain/session.js'
import type { Cursor, FeedWindow, Revocation, RevocationPage } from '../token-store.js'
import { decodeText } from './rows.js'
import { isLocked, read } from './connection.js'
import type { MysqlConnection, MysqlPool } from './connection.js'
import { formatPosition, parsePosition } from './feed-cursor.js'
import type { Gaps, Position } from './feed-cursor.js'

/** Window of a reader whose cursor is not valid. */
const DEFAULT_WINDOW: Millis = 25 * HOUR
// The stored moment of an entry is that of its statement, not that of its commit.
const MARGIN: Millis = MINUTE
// Age from which a gap can be settled. An ID is reserved shortly before its row can be locked.
const SETTLE_AFTER: Millis = 10 * SECOND
// Maximum number of gaps between two entries. Bounds the cursor if IDs jump.
const MAX_JUMP = 1_000
const MAX_GAPS = 10_000

// Does not depend on the time zone of the session, and is constant within a statement.
const NOW = 'TIMESTAMPDIFF(MICROSECOND, \'1970-01-01\', UTC_TIMESTAMP(6)) DIV 1000'
const distances = JSON.stringify(Array.from({ length: MAX_JUMP + 1 }, (_, i) => i))
const gapTable = 'JSON_TABLE(?, \'$[*]\' COLUMNS (id BIGINT PATH \'$\')) AS gap'
const gapRows = `
  SELECT r.id, r.at, r.entry
  FROM ${gapTable} STRAIGHT_JOIN token_auth_revocations AS r ON r.id = gap.id`

export const feedStatements = {
  tell: `INSERT INTO token_auth_revocations (at, entry) VALUES (${NOW}, ?)`,
  // The first entry of the window or else the last one of all, and the free IDs before it. One
  // statement, so that what commits later is either after the entry or has one of these IDs.
  start: `
    SELECT here.now, start.id, start.at, start.in_window, near.distance
    FROM (SELECT ${NOW} AS now) AS here
    CROSS JOIN JSON_TABLE(?, '$[*]' COLUMNS (distance BIGINT PATH '$')) AS near
    LEFT JOIN (
      (SELECT id, at, 1 AS in_window FROM token_auth_revocations
        WHERE at >= ${NOW} - CAST(? AS SIGNED) ORDER BY at, id LIMIT 1)
      UNION ALL
      (SELECT id, at, 0 AS in_window FROM token_auth_revocations ORDER BY id DESC LIMIT 1)
      ORDER BY in_window DESC LIMIT 1
    ) AS start ON TRUE
    LEFT JOIN token_auth_revocations AS r ON r.id = start.id - near.distance
    WHERE near.distance = 0 OR (start.id > near.distance AND r.id IS NULL)`,
  follow: `
    SELECT here.now, f.id, f.at, f.entry
    FROM (SELECT ${NOW} AS now) AS here LEFT JOIN (
      (SELECT id, at, entry FROM token_auth_revocations WHERE id >= ? ORDER BY id LIMIT ?)
      UNION ALL
      (${gapRows})
    ) AS f ON TRUE`,
  settle: `${gapRows} FOR UPDATE NOWAIT`,
  realms: 'SELECT realm, not_before, at, reason FROM token_auth_realms'
} as const

interface Entry {
  readonly id: number
  readonly at: Millis
  readonly revocation: Revocation
}

/** Entries of one read, each list by ascending ID. */
interface FoundEntries {
  /** Time of the database. */
  readonly now: Millis
  /** Entries that have filled gaps. */
  readonly late: readonly Entry[]
  readonly recent: readonly Entry[]
}

interface SettledGaps {
  /** Gaps that stay open. */
  readonly gaps: Gaps
  /** Entries that have filled gaps since the read. */
  readonly entries: readonly Entry[]
  readonly isComplete: boolean
}

/** Adds an entry to the feed, in the transaction of the connection. */
export async function addEntry (
  connection: Pick<MysqlConnection, 'execute'>,
  revocation: Revocation
): Promise<void> {
  await connection.execute(feedStatements.tell, [JSON.stringify(revocation)])
}

/**
 * Reads the feed in the order of its IDs.
 *
 * A transaction may commit after another one that got a later ID. So the reader keeps the IDs that
 * it did not see, the gaps, and reads them again. A gap is settled if its ID is free and no open
 * transaction has locked it, which means that its transaction was rolled back.
 */
export async function readFeed (
  pool: MysqlPool,
  after: Cursor | FeedWindow,
  limit: number
): Promise<RevocationPage> {
  const position = typeof after === 'string' ? parsePosition(after, MAX_GAPS) : null
  const page = position === null ? null : await follow(pool, position, limit)
  return page ?? start(pool, typeof after === 'string' ? DEFAULT_WINDOW : after.within, limit)
}

async function start (pool: MysqlPool, within: Millis, limit: number): Promise<RevocationPage> {
  const rows = await read(pool, feedStatements.start, [distances, String(within + MARGIN)])
  const { now, id, at, in_window: inWindow } = rows[0] as Row
  const first = { id: Number(id ?? 0), at: Number(at ?? 0) }
  const gaps: Gaps = new Map()

  for (const { distance } of rows) {
    if (Number(distance) > 0) {
      gaps.set(first.id - Number(distance), Number(now))
    }
  }

  const last = Number(inWindow ?? 0) === 1 ? { id: first.id - 1, at: 0 } : first
  const found = await findEntries(pool, gaps, last.id + 1, limit)
  const page = await createPage(pool, { last, gaps }, found, limit)
  const realms = await read(pool, feedStatements.realms, [])
  return { ...page, entries: [...realms.map(toRealmRevocation), ...page.entries] }
}

/** Returns `null` if the store has lost the last entry that the reader has seen. */
async function follow (
  pool: MysqlPool,
  position: Position,
  limit: number
): Promise<RevocationPage | null> {
  const { last, gaps } = position

  if (last.id === 0) {
    return createPage(pool, position, await findEntries(pool, gaps, 0, limit), limit)
  }

  // Reads the last entry again, to see whether the store still has it.
  const { now, late, recent } = await findEntries(pool, gaps, last.id, limit + 1)
  const [first, ...others] = recent

  return first?.id === last.id && first.at === last.at
    ? createPage(pool, position, { now, late, recent: others }, limit)
    : null
}

/** Finds the entries from an ID on, and those that have filled gaps. */
async function findEntries (
  pool: MysqlPool,
  gaps: Gaps,
  from: number,
  limit: number
): Promise<FoundEntries> {
  const rows = await read(pool, feedStatements.follow, [
    from,
    String(limit + 1), // One entry more shows whether the page is complete.
    JSON.stringify([...gaps.keys()])
  ])
  const found = rows.filter(row => row.id !== null).map(toEntry).sort((a, b) => a.id - b.id)

  return {
    now: Number(rows[0]?.now),
    late: found.filter(({ id }) => gaps.has(id)),
    recent: found.filter(({ id }) => !gaps.has(id))
  }
}

async function createPage (
  pool: MysqlPool,
  position: Position,
  { now, late, recent }: FoundEntries,
  limit: number
): Promise<RevocationPage> {
  const shownLate = late.slice(0, limit)
  const shownRecent = recent.slice(0, limit - shownLate.length)
  const isWhole = shownLate.length === late.length && shownRecent.length === recent.length
  const gaps = updateGaps(position, { now, late: shownLate, recent: shownRecent })
  const room = limit - shownLate.length - shownRecent.length
  const settled = await settleGaps(pool, gaps, now, room)
  const { id, at } = shownRecent.at(-1) ?? position.last
  const entries = [...shownLate, ...shownRecent, ...settled.entries]

  return {
    now,
    cursor: formatPosition({ last: { id, at }, gaps: settled.gaps }),
    complete: isWhole && settled.isComplete,
    entries: entries.map(({ revocation }) => revocation)
  }
}

/** Returns the gaps after a page: those that it has not filled, and those between its entries. */
function updateGaps ({ last, gaps }: Position, { now, late, recent }: FoundEntries): Gaps {
  // The clock may have gone backwards.
  const open: Gaps = new Map([...gaps].map(([id, since]) => [id, Math.min(since, now)]))

  for (const { id } of late) {
    open.delete(id)
  }

  let previousId = last.id

  for (const { id, at } of recent) {
    for (let gap = Math.max(previousId + 1, id - MAX_JUMP); gap < id; gap++) {
      // Its ID was reserved before that of the entry after it.
      open.set(gap, Math.min(at, now))
    }

    previousId = id
  }

  return dropOldestGaps(open)
}

function dropOldestGaps (gaps: Gaps): Gaps {
  return gaps.size <= MAX_GAPS
    ? gaps
    : new Map([...gaps].sort(([a], [b]) => a - b).slice(-MAX_GAPS))
}

/** Removes the gaps that no transaction can fill, and returns the entries that fill others. */
async function settleGaps (
  pool: MysqlPool,
  gaps: Gaps,
  now: Millis,
  room: number
): Promise<SettledGaps> {
  const old = [...gaps].filter(([, since]) => now - since > SETTLE_AFTER).map(([id]) => id)
  const found = old.length === 0 ? [] : await findSettledEntries(pool, old)

  // One of them belongs to an open transaction. The next read tries again.
  if (found === null) {
    return { gaps, entries: [], isComplete: true }
  }

  const left = new Set(found.slice(room).map(({ id }) => id))
  const settled = new Set(old.filter(id => !left.has(id)))

  return {
    gaps: new Map([...gaps].filter(([id]) => !settled.has(id))),
    entries: found.slice(0, room),
    isComplete: left.size === 0
  }
}

/** Finds the entries that fill old gaps. Returns `null` if an open transaction has locked a gap. */
async function findSettledEntries (
  pool: MysqlPool,
  ids: readonly number[]
): Promise<Entry[] | null> {
  try {
    const rows = await read(pool, feedStatements.settle, [JSON.stringify(ids)])
    return rows.map(toEntry)
  } catch (error) {
    if (isLocked(error)) {
      return null
    }

    throw error
  }
}

function toEntry ({ id, at, entry }: Row): Entry {
  return {
    id: Number(id),
    at: Number(at),
    revocation: JSON.parse(entry as string) as Revocation
  }
}

function toRealmRevocation (row: Row): Revocation {
  return {
    realm: decodeText(row.realm),
    at: Number(row.at),
    reason: row.reason as RevocationReason,
    before: Number(row.not_before)
  }
}
