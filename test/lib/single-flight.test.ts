import t from 'tap'
import { KeyedSingleFlight, SingleFlight } from '../../src/lib/single-flight.js'

interface Run {
  resolve(value: string): void
  reject(error: Error): void
}

/** Work that stays pending until the test settles it. */
function createWork (): { readonly runs: Run[], readonly work: () => Promise<string> } {
  const runs: Run[] = []

  return {
    runs,
    work: () =>
      new Promise((resolve, reject) => {
        runs.push({ resolve, reject })
      })
  }
}

t.test('concurrent callers share one run', async t => {
  const { runs, work } = createWork()
  const flight = new SingleFlight<string>()
  const results = [flight.run(work), flight.run(work), flight.run(work)]
  t.equal(runs.length, 1)
  runs[0]?.resolve('done')
  t.strictSame(await Promise.all(results), ['done', 'done', 'done'])
})

t.test('a caller after the end of a run starts a new one', async t => {
  const { runs, work } = createWork()
  const flight = new SingleFlight<string>()
  const first = flight.run(work)
  t.equal(flight.running, first)
  runs[0]?.resolve('first')
  await first
  t.equal(flight.running, null)
  const second = flight.run(work)
  runs[1]?.resolve('second')
  t.equal(await second, 'second')
})

t.test('a failed run rejects for all its callers and does not block the next run', async t => {
  const { runs, work } = createWork()
  const flight = new SingleFlight<string>()
  const failing = [flight.run(work), flight.run(work)]
  runs[0]?.reject(new Error('down'))

  for (const run of failing) {
    await t.rejects(run, { message: 'down' })
  }

  const next = flight.run(work)
  runs[1]?.resolve('up')
  t.equal(await next, 'up')
})

t.test('work that throws synchronously leaves no run behind', async t => {
  const flight = new SingleFlight<string>()
  t.throws(() =>
    flight.run(() => {
      throw new Error('immediately')
    }), { message: 'immediately' })
  t.equal(flight.running, null)
  t.equal(await flight.run(async () => 'done'), 'done')
})

t.test('callers share a run per key', async t => {
  const { runs, work } = createWork()
  const flight = new KeyedSingleFlight<string, string>()
  const results = [flight.run('a', work), flight.run('a', work), flight.run('b', work)]
  t.equal(runs.length, 2)
  runs[0]?.resolve('of a')
  runs[1]?.resolve('of b')
  t.strictSame(await Promise.all(results), ['of a', 'of a', 'of b'])
})

t.test('the end of a run frees its key only', async t => {
  const { runs, work } = createWork()
  const flight = new KeyedSingleFlight<string, string>()
  const failing = flight.run('a', work)
  const pending = flight.run('b', work)
  runs[0]?.reject(new Error('down'))
  await t.rejects(failing, { message: 'down' })
  const again = flight.run('a', work)
  t.equal(flight.run('b', work), pending)
  t.equal(runs.length, 3)
  runs[1]?.resolve('of b')
  runs[2]?.resolve('of a')
  t.strictSame(await Promise.all([again, pending]), ['of a', 'of b'])
})
