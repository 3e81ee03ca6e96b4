import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { createWithTimeout } from '../../src/client/async.js'
import { resolvePlatform } from '../../src/client/platform.js'

t.test('however many calls there are at once, each ends with the client, and Node sees no leak', async t => {
  const warnings: Error[] = []

  const onWarning = (warning: Error): void => {
    warnings.push(warning)
  }

  process.on('warning', onWarning)
  t.teardown(() => {
    process.off('warning', onWarning)
  })
  const end = new AbortController()
  const limit = createWithTimeout(resolvePlatform(undefined), end.signal)
  const stopped: number[] = []
  const calls = Array.from({ length: 50 }, (_, n) =>
    limit(null, signal =>
      new Promise(() => {
        signal.addEventListener('abort', () => {
          stopped.push(n)
        })
      })))
  t.equal(await limit(null, async () => 'done'), 'done')
  await turn()
  t.same(warnings, [])
  t.same(stopped, [], 'one that is done ends no other')

  end.abort()
  const results = await Promise.allSettled(calls)
  t.ok(results.every(result => result.status === 'rejected' && result.reason.code === 'disposed'))
  t.equal(stopped.length, 50)
  await t.rejects(limit(null, async () => 'late'), { code: 'disposed' })
})
