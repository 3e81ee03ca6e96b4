import { Events } from '../../events.js'
import type { Logger } from '../../events.js'
import { MINUTE, SECOND } from '../../lib/time.js'
import { KEPT_AFTER_END, Sweeper } from '../../stores/sweeper.js'
import type { CommandHandler } from '../command.js'
import { readStoreTime, withDatabase } from '../database/with-database.js'
import { CliError } from '../errors.js'

const MAX_CLOCK_DIFFERENCE = 5 * MINUTE
const silent: Logger = { error () {}, warn () {}, info () {} }

/** Deletes expired sessions, revocations and login attempts of all realms. */
export const sweep: CommandHandler = input =>
  withDatabase(input, async ({ store, attempts, label }) => {
    const now = await readStoreTime(store)
    const difference = Math.abs(now - input.io.now())

    // A database whose clock is ahead would lose sessions that have not expired.
    if (difference > MAX_CLOCK_DIFFERENCE && input.values.yes !== true) {
      throw new CliError(
        'CLOCKS_DIFFER',
        `the clocks of ${label} and of this machine differ by ` +
          `${Math.round(difference / SECOND)} s; nothing was deleted. Correct the clock that is ` +
          'wrong. If the database is right, add --yes'
      )
    }

    const sweeper = new Sweeper({
      store,
      attempts: [attempts],
      events: new Events({}, silent, 'auth'),
      logger: silent,
      clock: () => now,
      interval: null,
      keep: KEPT_AFTER_END
    })
    const deleted = await sweepUntilDone(sweeper)

    return {
      document: { deleted },
      text: `deleted ${deleted} expired ${deleted === 1 ? 'record' : 'records'}`
    }
  })

/**
 * Sweeps until nothing is left, because a sweep stops after a minute.
 *
 * @returns The number of deleted records.
 */
async function sweepUntilDone (sweeper: Sweeper): Promise<number> {
  let deleted = 0
  let count

  do {
    count = await sweeper.sweep()
    deleted += count
  } while (count !== 0)

  return deleted
}
