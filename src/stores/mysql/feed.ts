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
  const page = await readPage(pool, { last, gaps }, last.id + 1, limit)
  const realms = await read(pool, feedStatements.realms, [])
  return { ...page, entries: [...realms.map(toRealmRevocation), ...page.entries] }
}

/** Returns `null` if the store has lost the last entry that the reader has seen. */
async function follow (
  pool: MysqlPool,
  position: Position,
  limit: number
): Promise<RevocationPage | null> {
  const { last } = position

  return last.id === 0
    ? readPage(pool, position, 0, limit)
    : readPage(pool, position, last.id, limit, last)
}

function readPage (
  pool: MysqlPool,
  position: Position,
  from: number,
  limit: number
): Promise<RevocationPage>
function readPage (
  pool: MysqlPool,
  position: Position,
  from: number,
  limit: number,
  anchor: Position['last']
): Promise<RevocationPage | null>

async function readPage (
  pool: MysqlPool,
  { last, gaps }: Position,
  from: number,
  limit: number,
  anchor?: Position['last']
): Promise<RevocationPage | null> {
  // One entry more shows whether the page is complete.
  const size = limit + (anchor === undefined ? 1 : 2)
  const rows = await read(pool, feedStatements.follow, [
    from,
    String(size),
    JSON.stringify([...gaps.keys()])
  ])
  const now = Number(rows[0]?.now)
  const found = rows.filter(row => row.id !== null).map(toEntry).sort((a, b) => a.id - b.id)
  const late = found.filter(({ id }) => gaps.has(id))
  const recent = found.filter(({ id }) => !gaps.has(id))

  if (anchor !== undefined) {
    const first = recent.shift()

    if (first?.id !== anchor.id || first.at !== anchor.at) {
      return null
    }
  }

  const shownLate = late.slice(0, limit)
  const shown = recent.slice(0, limit - shownLate.length)
  const open = updateGaps(gaps, last.id, shownLate, shown, now)
  const room = limit - shownLate.length - shown.length
  const settled = await settleGaps(pool, open, now, room)
  const isComplete = shownLate.length === late.length && shown.length === recent.length &&
    settled.isComplete
  const { id, at } = shown.at(-1) ?? last

  return {
    now,
    cursor: formatPosition({ last: { id, at }, gaps: open }),
    complete: isComplete,
    entries: [...shownLate, ...shown, ...settled.entries].map(({ revocation }) => revocation)
  }
}

function updateGaps (
  gaps: Gaps,
  lastId: number,
  late: readonly Entry[],
  recent: readonly Entry[],
  now: Millis
): Gaps {
  // The clock may have gone backwards.
  const open: Gaps = new Map([...gaps].map(([id, since]) => [id, Math.min(since, now)]))

  for (const { id } of late) {
    open.delete(id)
  }

  let previousId = lastId

  for (const { id, at } of recent) {
    for (let gap = Math.max(previousId + 1, id - MAX_JUMP); gap < id; gap++) {
      // Its ID was reserved before that of the entry after it.
      open.set(gap, Math.min(at, now))
    }

    previousId = id
  }

  const oldestFirst = [...open.keys()].sort((a, b) => a - b)

  for (const id of oldestFirst.slice(0, Math.max(0, open.size - MAX_GAPS))) {
    open.delete(id)
  }

  return open
}

/** Removes the gaps that no transaction can fill, and returns the entries that fill others. */
async function settleGaps (
  pool: MysqlPool,
  gaps: Gaps,
  now: Millis,
  room: number
): Promise<{ readonly entries: readonly Entry[], readonly isComplete: boolean }> {
  const old = [...gaps].filter(([, since]) => now - since > SETTLE_AFTER).map(([id]) => id)

  if (old.length === 0) {
    return { entries: [], isComplete: true }
  }

  try {
    const rows = await read(pool, feedStatements.settle, [JSON.stringify(old)])
    const found = rows.map(toEntry)
    const left = new Set(found.slice(room).map(({ id }) => id))

    for (const id of old) {
      if (!left.has(id)) {
        gaps.delete(id)
      }
    }

    return { entries: found.slice(0, room), isComplete: left.size === 0 }
  } catch (error) {
    // One of them belongs to an open transaction. The next read tries again.
    if (isLocked(error)) {
      return { entries: [], isComplete: true }
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
