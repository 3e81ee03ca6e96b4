import t from 'tap'
import { MemoryAttempts } from '../../src/stores/memory/index.js'
import { assertRejected, resolve } from './resolve.js'

t.test('invalid DPoP options are rejected', async t => {
  const message =
    '"dpop.replays" must be an AttemptStore, such as new RedisAttempts(client) from ' +
    'fastify-token-auth/redis, but '
  assertRejected(t, [
    [{ dpop: null }, /"dpop" must be an object$/],
    [{ dpop: 'yes' }, /"dpop" must be an object$/],
    [
      { dpop: { nonce: true } },
      /unknown option "dpop\.nonce"; valid options: required, nonces, replays$/
    ],
    [{ dpop: { required: 'yes' } }, /"dpop\.required" must be true or false, not "yes"$/],
    [{ dpop: { nonces: 1 } }, /"dpop\.nonces" must be true or false, not 1$/],
    [{ dpop: { replays: {} } }, `${message}has no method "check"`],
    [
      { dpop: { replays: 'redis' } },
      `${message}is a string; create a client of the database, and pass a store for it`
    ]
  ])
})

t.test('DPoP is disabled by default, and enabled with defaults by true', async t => {
  t.equal(resolve({}).dpop, null)
  t.equal(resolve({ dpop: false }).dpop, null)
  const defaults = { required: false, nonces: true, replays: null }
  t.strictSame(resolve({ dpop: true }).dpop, defaults)
  t.strictSame(resolve({ dpop: {} }).dpop, defaults)
  const replays = new MemoryAttempts()
  const given = { required: true, nonces: false, replays }
  t.strictSame(resolve({ dpop: given }).dpop, given)
})
