import type { Millis } from '../../lib/time.js'
import type { Cursor } from '../token-store.js'

/** Free IDs that an open transaction may have reserved, and when the reader first missed them. */
export type Gaps = Map<number, Millis>

/** Position of a reader in the feed. */
export interface Position {
  /** Last entry that the reader has seen; ID 0 if there was none. */
  readonly last: { readonly id: number, readonly at: Millis }
  readonly gaps: Gaps
}

type Run = [first: number, count: number, since: Millis]

/** Converts a position to a cursor. Consecutive gaps take one place in it. */
export function formatPosition ({ last, gaps }: Position): Cursor {
  const runs: Run[] = []

  for (const [id, since] of [...gaps].sort(([a], [b]) => a - b)) {
    const run = runs.at(-1)

    if (run !== undefined && run[0] + run[1] === id && run[2] === since) {
      run[1]++
    } else {
      runs.push([id, 1, since])
    }
  }

  return JSON.stringify([last.id, last.at, runs])
}

/** Returns the position of a cursor, or `null` if it is malformed or has more than `maxGaps`. */
export function parsePosition (cursor: Cursor, maxGaps: number): Position | null {
  const parsed = parseJson(cursor)

  if (!Array.isArray(parsed) || parsed.length !== 3) {
    return null
  }

  const [id, at, runs] = parsed as [unknown, unknown, unknown]

  if (!isCount(id) || !isCount(at) || !Array.isArray(runs) || !runs.every(isRun)) {
    return null
  }

  if (runs.reduce((sum, [, count]) => sum + count, 0) > maxGaps) {
    return null
  }

  const gaps: Gaps = new Map()

  for (const [first, count, since] of runs) {
    for (let gap = first; gap < first + count; gap++) {
      gaps.set(gap, since)
    }
  }

  return { last: { id, at }, gaps }
}

function parseJson (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

function isRun (run: unknown): run is Run {
  if (!Array.isArray(run) || run.length !== 3 || !run.every(isCount)) {
    return false
  }

  // Clients of the route `sync` send cursors too. A number beyond the safe ones cannot be counted
  // up, so the loop over the run would have no end.
  const [first, count] = run as Run
  return isCount(first + count)
}

function isCount (value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
