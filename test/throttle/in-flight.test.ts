import { setImmediate as nextTurn } from 'node:timers/promises'
import t from 'tap'
import { InFlight } from '../../src/throttle/in-flight.js'

interface Attempt {
  readonly finished: Promise<void>
  finish(): void
}

function createAttempt (): Attempt {
  let finish = (): void => {}

  const finished = new Promise<void>(resolve => {
    finish = resolve
  })

  return {
    finished,
    finish: () => {
      finish()
    }
  }
}

t.test('work of one key runs in order and never concurrently', async t => {
  const inFlight = new InFlight()
  const order: string[] = []

  const work = (name: string) => async (): Promise<string> => {
    order.push(`${name} starts`)
    await nextTurn()
    order.push(`${name} ends`)
    return name
  }

  const results = await Promise.all([
    inFlight.runInTurn('key', work('first')),
    inFlight.runInTurn('key', work('second'))
  ])
  t.strictSame(results, ['first', 'second'])
  t.strictSame(order, ['first starts', 'first ends', 'second starts', 'second ends'])
})

t.test('work of another key does not wait', async t => {
  const inFlight = new InFlight()
  const { finished, finish } = createAttempt()
  const blocked = inFlight.runInTurn('slow', () => finished)
  t.equal(await inFlight.runInTurn('fast', async () => 'done'), 'done')
  finish()
  await blocked
})

t.test('failed work does not block the next work of its key', async t => {
  const inFlight = new InFlight()
  const failed = inFlight.runInTurn('key', () => Promise.reject(new Error('down')))
  const next = inFlight.runInTurn('key', async () => 'done')
  await t.rejects(failed, { message: 'down' })
  t.equal(await next, 'done')
})

t.test('an attempt is running from its start to its end, for its key only', async t => {
  const inFlight = new InFlight()
  const [first, second] = [createAttempt(), createAttempt()]
  inFlight.track('key', first.finished)
  inFlight.track('key', second.finished)
  t.strictSame(inFlight.getRunning('key'), [first.finished, second.finished])
  t.strictSame(inFlight.getRunning('other'), [])
  first.finish()
  await nextTurn()
  t.strictSame(inFlight.getRunning('key'), [second.finished])
  second.finish()
  await nextTurn()
  t.strictSame(inFlight.getRunning('key'), [])
})
