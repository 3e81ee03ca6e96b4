import { PassThrough } from 'node:stream'
import t from 'tap'
import { SECOND } from '../../helpers/clock.js'
import { createToken, startKeyServer, startVerifier } from './jwks-setup.js'

t.test('the log names the cause of an unusable key set without its content', async t => {
  let log = ''
  const stream = new PassThrough().on('data', chunk => {
    log += String(chunk)
  })
  const keys = await startKeyServer(t)
  const { clock, status } = await startVerifier(t, keys.uri, {}, { logger: { stream } })

  for (
    const [body, cause] of [
      ['<html>hidden', 'Error key set is not JSON'],
      ['', 'Error key set is not JSON'],
      ['{"keys":[]}', 'RangeError key set has no usable key']
    ] as const
  ) {
    log = ''
    keys.response = { body }
    t.equal(await status(createToken('EdDSA')), 503)
    const lines = log.trim().split('\n').map(line => JSON.parse(line) as Record<string, unknown>)
    t.strictSame(lines.map(line => line.cause).filter(Boolean), [cause])
    t.notMatch(log, 'hidden')
    clock.advance(SECOND)
  }
})
