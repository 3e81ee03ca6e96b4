import type { Touch } from '../token-store.js'
import { runQuery } from './connection.js'
import type { MysqlPool } from './connection.js'
import { toLiteral } from './rows.js'

// The time of a statement grows with the square of this number.
const MAX_TOUCHES = 100

/**
 * Saves how sessions were used.
 *
 * One statement updates many rows, so that an instance that is stopped in between holds no locks.
 * `sql_safe_updates` rejects a join with a batch, so the values are in the text.
 */
export async function saveTouches (pool: MysqlPool, batch: readonly Touch[]): Promise<void> {
  for (const touches of splitTouches(batch)) {
    await runQuery(pool, toStatement(touches))
  }
}

/** Splits a batch so that each part has one realm, and no session twice. */
function splitTouches (batch: readonly Touch[]): Touch[][] {
  const parts: Array<Map<string, Touch>> = []

  for (const touch of batch) {
    const part = parts.find(touches =>
      touches.size < MAX_TOUCHES && !touches.has(touch.sessionId) &&
      touches.values().next().value?.realm === touch.realm
    )

    if (part === undefined) {
      parts.push(new Map([[touch.sessionId, touch]]))
    } else {
      part.set(touch.sessionId, touch)
    }
  }

  return parts.map(part => [...part.values()])
}

function toStatement (touches: readonly Touch[]): string {
  const ids = touches.map(({ sessionId }) => toLiteral(Buffer.from(sessionId)))
  const realm = toLiteral(Buffer.from(touches[0]?.realm ?? ''))
  const assignments = [
    assign(
      'last_used_at',
      touches,
      ({ lastUsedAt }) => `GREATEST(last_used_at, ${toLiteral(lastUsedAt)})`
    ),
    assign(
      'confirmed_generation',
      touches,
      ({ confirmedGeneration }) =>
        `GREATEST(confirmed_generation, LEAST(${toLiteral(confirmedGeneration)}, generation))`
    ),
    assign(
      'grace_from',
      touches,
      ({ generation, graceFrom }) =>
        graceFrom === null ? null : `IF(generation = ${toLiteral(generation)},
        GREATEST(grace_from, ${toLiteral(graceFrom)}), grace_from)`
    ),
    // Comes before `replay_generation`, because an assignment sees the values of those before it.
    assign(
      'replay_length',
      touches,
      touch => toReplayValue(touch, 'replay_length', touch.replayRun?.length)
    ),
    assign(
      'replay_generation',
      touches,
      touch => toReplayValue(touch, 'replay_generation', touch.replayRun?.generation)
    )
  ].filter(assignment => assignment !== null)

  return `
    UPDATE token_auth_sessions FORCE INDEX (PRIMARY) SET ${assignments.join(', ')}
    WHERE id IN (${ids.join(', ')}) AND realm = ${realm}`
}

function toReplayValue (
  { generation, replayRun }: Touch,
  column: string,
  value: number | undefined
): string | null {
  return replayRun === null ? null : `IF(generation = ${toLiteral(generation)}
    AND replay_generation < ${toLiteral(replayRun.generation)}, ${toLiteral(value)}, ${column})`
}

/** Writes an assignment, or returns `null` if no touch has a value for the column. */
function assign (
  column: string,
  touches: readonly Touch[],
  toValue: (touch: Touch) => string | null
): string | null {
  const cases = touches.flatMap(touch => {
    const value = toValue(touch)

    return value === null
      ? []
      : [`WHEN ${toLiteral(Buffer.from(touch.sessionId))} THEN ${value}`]
  })

  return cases.length === 0 ? null : `${column} = CASE id ${cases.join(' ')} ELSE ${column} END`
}
