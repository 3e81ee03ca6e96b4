import t from 'tap'
import { Events } from '../../src/events.js'
import type { AttemptStore } from '../../src/stores/attempt-store.js'
import { Sweeper } from '../../src/stores/sweeper.js'
import type { TokenStore } from '../../src/stores/token-store.js'
import { createClock, MINUTE } from '../helpers/clock.js'

type Sweep = () => Promise<number>

function createSweeper (sweepSessions: Sweep, ...sweepAttempts: Sweep[]): Sweeper {
  const logger = { error () {}, warn () {}, info () {} }

  return new Sweeper({
    store: { sweep: sweepSessions } as unknown as TokenStore,
    attempts: sweepAttempts.map(sweep => ({ sweep }) as unknown as AttemptStore),
    events: new Events({}, logger, 'test'),
    logger,
    clock: createClock(),
    interval: null,
    keep: MINUTE
  })
}

t.test('sweep deletes attempts even if the session store fails', async t => {
  const swept: string[] = []
  const sweeper = createSweeper(
    () => Promise.reject(new Error('session store failed')),
    async () => swept.push('attempts'),
    async () => swept.push('proofs')
  )
  await t.rejects(sweeper.sweep(), { message: 'session store failed' })
  t.strictSame(swept, ['attempts', 'proofs'])
})

t.test('sweep rejects with the first error after it called every store', async t => {
  const swept: string[] = []
  const sweeper = createSweeper(
    async () => swept.push('sessions'),
    () => Promise.reject(new Error('attempt store failed')),
    () => Promise.reject(new Error('proof store failed'))
  )
  await t.rejects(sweeper.sweep(), { message: 'attempt store failed' })
  t.strictSame(swept, ['sessions'])
})
