import t from 'tap'
import { createFaults, ScheduleError } from '../../src/testing/index.js'
import { calm, COUNTER_URL, createCounter } from './counter.js'
import { runSchedule } from './schedules/run.js'
import { createServers } from './virtual-server.js'

t.test('a failed step can be replayed with its seed', async t => {
  const run = async (): Promise<ScheduleError> => {
    const faults = createFaults({ seed: 5, ...calm })
    const wrapped = faults.wrap(createCounter(faults).send)
    let calls = 0
    const failure = await faults.schedule(
      {
        call: [2, () => {
          calls++
          return faults.clock.until(wrapped(COUNTER_URL))
        }],
        wait: [1, random => faults.clock.run(random.between(1, 1000))]
      },
      20,
      () => {
        if (calls > 5) {
          throw new Error('too many')
        }
      }
    ).catch((error: unknown) => error)
    return failure as ScheduleError
  }

  const [first, second] = [await run(), await run()]
  t.ok(first instanceof ScheduleError)
  t.match(
    first.message,
    /^too many\nseed 5, step \d+; replay it with createFaults\(\{ seed: 5 \}\)\n/
  )
  t.match(first.message, /GET https:\/\/app.test\/things/)
  t.match(first.cause, { message: 'too many' })
  t.equal(second.message, first.message)
})

t.test('a step may reject with any value', async t => {
  // eslint-disable-next-line prefer-promise-reject-errors
  const reject = (): Promise<never> => Promise.reject('a string')
  await t.rejects(createFaults().schedule({ odd: [1, reject] }, 1), /^a string/)
})

t.test('step requires an action', async t => {
  await t.rejects(createFaults().step({}), new TypeError('"choices" must not be empty'))
})

t.test('the same seed has the same events with a real server, to the millisecond', async t => {
  // Servers of their own, because a server remembers the revocations of earlier schedules.
  const [first, second] = [createServers(), createServers()]
  t.teardown(() => Promise.all([first.close(), second.close()]))

  for (const seed of [1, 2, 3, 4, 5]) {
    const [one, other] = [await runSchedule(seed, 60, first), await runSchedule(seed, 60, second)]
    t.strictSame(other.faults.log, one.faults.log)
    t.ok(one.faults.log.length > 100)
  }
})

t.test('the log contains no token', async t => {
  const servers = createServers()
  t.teardown(() => servers.close())
  const { faults } = await runSchedule(1, 60, servers)
  t.notMatch(JSON.stringify(faults.log), /eyJ/)
})
