import { setImmediate as waitForTurn } from 'node:timers/promises'
import t from 'tap'
import { createWithTimeout } from '../../src/client/async.js'
import { resolvePlatform } from '../../src/client/platform.js'

t.test('a disposal rejects all concurrent calls without a leak warning of Node', async t => {
  const warnings: Error[] = []

  const onWarning = (warning: Error): void => {
    warnings.push(warning)
  }

  process.on('warning', onWarning)
  t.teardown(() => {
    process.off('warning', onWarning)
  })
  const disposal = new AbortController()
  const withTimeout = createWithTimeout(resolvePlatform(undefined), disposal.signal)
  const stopped: number[] = []
  const calls = Array.from({ length: 50 }, (_, n) =>
    withTimeout(null, signal =>
      new Promise(() => {
        signal.addEventListener('abort', () => {
          stopped.push(n)
        })
      })))
  t.equal(await withTimeout(null, async () => 'done'), 'done')
  await waitForTurn()
  t.same(warnings, [])
  t.same(stopped, [], 'a call that is done stops no other call')

  disposal.abort()
  const results = await Promise.allSettled(calls)
  t.ok(results.every(result => result.status === 'rejected' && result.reason.code === 'disposed'))
  t.equal(stopped.length, 50)
  await t.rejects(withTimeout(null, async () => 'late'), { code: 'disposed' })
})
