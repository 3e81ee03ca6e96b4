import t from 'tap'
import { MemoryAttempts } from '../../src/stores/memory/index.js'
import { MINUTE, SECOND } from '../helpers/clock.js'
import { assertRejected, resolve } from './resolve.js'
import type { Rejection } from './resolve.js'

t.test('an invalid attempt store is rejected', async t => {
  const message =
    '"throttle.attempts" must be an AttemptStore, such as new PostgresAttempts(pool) ' +
    'from fastify-token-auth/postgres, but '
  const pool = { query () {} }
  assertRejected(t, [
    [{ throttle: { attempts: {} } }, `${message}has no method "check"`],
    [{ throttle: { attempts: null } }, `${message}is missing`],
    [
      { throttle: { attempts: pool } },
      `${message}is a client of a database; ` +
      'pass new PostgresAttempts(client) from fastify-token-auth/postgres'
    ]
  ])
})

t.test('an invalid limit is rejected', async t => {
  assertRejected(t, [
    [
      { throttle: { account: { maxAttempts: 5, freeAttempts: 6 } } },
      /"throttle\.account\.freeAttempts" must be at most "throttle\.account\.maxAttempts"$/
    ],
    [
      { throttle: { account: { maxAttempts: 5 } } },
      /"throttle\.account\.freeAttempts" must be at most "throttle\.account\.maxAttempts"$/
    ],
    [
      { throttle: { account: { resetAfter: '5m' } } },
      /"throttle\.account\.resetAfter" must be from 1h to 365d, not "5m"$/
    ],
    [
      { throttle: { address: { window: 0 } } },
      /"throttle\.address\.window" must be from 1s to 365d, not 0$/
    ],
    ...[0, -1, 1.5, '3', null, NaN].flatMap((count): Rejection[] => [
      [
        { throttle: { account: { freeAttempts: count } } },
        /"throttle\.account\.freeAttempts" must be an integer of at least 1, not /
      ],
      [
        { throttle: { account: { maxAttempts: count } } },
        /"throttle\.account\.maxAttempts" must be an integer of at least 1, not /
      ],
      [
        { throttle: { address: { maxAttempts: count } } },
        /"throttle\.address\.maxAttempts" must be an integer of at least 1, not /
      ]
    ])
  ])
})

t.test('limits are derived from the options and can be disabled one by one', async t => {
  const attempts = new MemoryAttempts()
  const { throttle } = resolve({
    throttle: { attempts, account: { freeAttempts: 200 }, address: false }
  })
  t.equal(throttle?.attempts, attempts)
  t.match(throttle?.account, { freeAttempts: 200, maxAttempts: 200, wait: SECOND })
  t.equal(throttle?.address, null)
  t.match(resolve({ throttle: { account: false, address: { window: '5m' } } }).throttle, {
    account: null,
    address: { maxAttempts: 100, retention: 5 * MINUTE }
  })
  t.equal(resolve({ throttle: false }).throttle, null)
})
