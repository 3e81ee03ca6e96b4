import t from 'tap'
import { DAY, MINUTE, SECOND } from '../helpers/clock.js'
import { assertRejected, findError, resolve } from './resolve.js'

const durations = {
  'accessToken.lifetime': (value: unknown) => ({ accessToken: { lifetime: value } }),
  'accessToken.renewWithin': (value: unknown) => ({ accessToken: { renewWithin: value } }),
  'refreshToken.lifetime': (value: unknown) => ({ refreshToken: { lifetime: value } }),
  'refreshToken.maxLifetime': (value: unknown) => ({ refreshToken: { maxLifetime: value } }),
  'refreshToken.grace': (value: unknown) => ({ refreshToken: { grace: value } }),
  'sweep.interval': (value: unknown) => ({ sweep: { interval: value } }),
  'revocations.pollInterval': (value: unknown) => ({ revocations: { pollInterval: value } }),
  'revocations.failAfter': (value: unknown) => ({ revocations: { failAfter: value } }),
  storeTimeout: (value: unknown) => ({ storeTimeout: value })
}

const noDurations = [
  '',
  'm',
  '15',
  '15 minutes',
  '15min',
  '15M',
  '1y',
  '-5m',
  '1e3s',
  ' 15m',
  '15m ',
  '1h30m',
  'soon',
  -1,
  NaN,
  Infinity,
  Number.MAX_VALUE,
  '36526d',
  true,
  {},
  [60]
]

t.test('a value that is not a duration is rejected with examples', async t => {
  t.equal(
    findError({ accessToken: { lifetime: '15 minutes' } }),
    'fastify-token-auth: "accessToken.lifetime" must be a number of seconds or a string such as ' +
      '"90s", "15m", "12h" or "7d", and at most 100 years, not "15 minutes"'
  )

  for (const [path, set] of Object.entries(durations)) {
    assertRejected(
      t,
      noDurations.map(value =>
        [set(value), `"${path}" must be a number of seconds or a string such as "90s"`] as const
      )
    )
  }
})

t.test('a duration is a number of seconds, or a string in any unit', async t => {
  const maxLifetime = (value: string | number): number =>
    resolve({ refreshToken: { maxLifetime: value, lifetime: '1s', grace: 0 } }).maxLifetime
  const millis = {
    '90000ms': 90 * SECOND,
    '90s': 90 * SECOND,
    '15m': 15 * MINUTE,
    '12h': DAY / 2,
    '7d': 7 * DAY,
    '2w': 14 * DAY,
    '1.5h': 90 * MINUTE,
    '1 d': DAY
  }

  for (const [duration, expected] of Object.entries(millis)) {
    t.equal(maxLifetime(duration), expected, duration)
  }

  t.equal(maxLifetime(90), 90 * SECOND)
  t.equal(maxLifetime(1.5), 1500)
})

t.test('limits themselves are accepted', async t => {
  t.equal(resolve({ refreshToken: { grace: 0 } }).grace, 0)
  t.equal(resolve({ refreshToken: { grace: '2m' } }).grace, 2 * MINUTE)
  t.equal(resolve({ refreshToken: { lifetime: '30d' } }).refreshLifetime, 30 * DAY)
  t.equal(resolve({ refreshToken: { lifetime: '90d', maxLifetime: '90d' } }).maxLifetime, 90 * DAY)
  t.equal(resolve({ accessToken: { lifetime: 1, cacheSize: 2 } }).accessLifetime, SECOND)
  t.equal(resolve({ accessToken: { lifetime: '24h' } }).accessLifetime, DAY)
  t.equal(resolve({ sweep: false }).sweepInterval, null)
  t.equal(resolve({ sweep: { interval: '24d' } }).sweepInterval, 24 * DAY)
  t.equal(resolve({ maxSessions: 1 }).maxSessions, 1)
  t.equal(resolve({ maxSessions: 100 }).maxSessions, 100)
  t.equal(resolve({ maxSessions: Infinity }).maxSessions, Infinity)
  t.equal(resolve({ accessToken: { renewWithin: '7.5m' } }).renewalWindow, 7.5 * MINUTE)
})

t.test('a lifetime outside its limits is rejected', async t => {
  assertRejected(t, [
    [{ accessToken: { lifetime: 0 } }, /"accessToken\.lifetime" must be from 1s to 1d, not 0$/],
    [{ accessToken: { lifetime: '500ms' } }, /"accessToken\.lifetime" must be from 1s to 1d/],
    [
      { accessToken: { lifetime: '25h' } },
      /"accessToken\.lifetime" must be from 1s to 1d, not "25h"$/
    ],
    [{ accessToken: { lifetime: 86_401 } }, /"accessToken\.lifetime" must be from 1s to 1d/],
    [
      { accessToken: { lifetime: 1.5 } },
      /"accessToken\.lifetime" must be a whole number of seconds$/
    ],
    [
      { refreshToken: { lifetime: 0, grace: 0 } },
      /"refreshToken\.lifetime" must be at least 1s, not 0$/
    ],
    [
      { refreshToken: { lifetime: '31d' } },
      /"refreshToken\.lifetime" must be at most "refreshToken\.maxLifetime" \(30d by default\)$/
    ],
    [
      { refreshToken: { lifetime: '2d', maxLifetime: '1d' } },
      /"refreshToken\.lifetime" must be at most "refreshToken\.maxLifetime"/
    ],
    [
      { refreshToken: { maxLifetime: '6d' } },
      /"refreshToken\.lifetime" must be at most "refreshToken\.maxLifetime"/
    ],
    [
      { refreshToken: { lifetime: 60, grace: 60 } },
      /"refreshToken\.grace" must be shorter than "refreshToken\.lifetime"$/
    ]
  ])
})

t.test('a timeout over half of the grace period is rejected', async t => {
  const half = /"storeTimeout" must be at most half of "refreshToken\.grace" \(10s by default\)$/
  assertRejected(t, [
    [{ storeTimeout: '5001ms' }, half],
    [{ storeTimeout: '24d' }, half],
    [{ storeTimeout: 5, refreshToken: { grace: '9s' } }, half],
    [{ storeTimeout: '61s', refreshToken: { grace: '2m' } }, half]
  ])
  const timeout = (given: object): number => resolve(given).storeTimeout
  t.equal(timeout({ storeTimeout: 5 }), 5 * SECOND)
  t.equal(timeout({ storeTimeout: 60, refreshToken: { grace: '2m' } }), MINUTE)
})

t.test('a timeout has no other limit without a grace period', async t => {
  for (
    const given of [{ refreshToken: { grace: 0 } }, { refreshToken: false }, { rotation: false }]
  ) {
    t.equal(resolve({ ...given, storeTimeout: '24d' }).storeTimeout, 24 * DAY)
  }
})

t.test('the default timeout is 5 s, or half of a shorter grace period', async t => {
  const timeout = (refreshToken: object | false): number => resolve({ refreshToken }).storeTimeout
  t.equal(timeout({ grace: '2m' }), 5 * SECOND)
  t.equal(timeout({ grace: '10s' }), 5 * SECOND)
  t.equal(timeout({ grace: '9s' }), 4500)
  t.equal(timeout({ grace: '20ms' }), 10)
  t.equal(timeout({ grace: 0 }), 5 * SECOND)
  t.equal(timeout(false), 5 * SECOND)
  t.equal(resolve({ rotation: false }).storeTimeout, 5 * SECOND)
})

t.test('a grace period that exceeds the tolerance for clocks is rejected', async t => {
  assertRejected(t, [
    [
      { refreshToken: { grace: '121s' } },
      /"refreshToken\.grace" must be at most 2m, not "121s"$/
    ]
  ])
})

t.test('a renewal window outside its limits is rejected', async t => {
  const half = /"accessToken\.renewWithin" must be at most half of "accessToken\.lifetime"$/
  const second = /"accessToken\.renewWithin" must be at least 1s/
  assertRejected(t, [
    [{ accessToken: { renewWithin: '8m' } }, half],
    [{ accessToken: { renewWithin: '15m' } }, half],
    [{ accessToken: { renewWithin: '2h' } }, half],
    [{ accessToken: { renewWithin: 0 } }, second],
    [{ accessToken: { renewWithin: '999ms' } }, second],
    [{ accessToken: { renewWithin: null } }, /"accessToken\.renewWithin" must be a number/],
    [
      { refreshToken: false, accessToken: { renewWithin: '5m' } },
      /"accessToken\.renewWithin" requires sessions that outlive .*; remove "refreshToken: false"$/
    ]
  ])
})

t.test('options for rotated tokens require rotation', async t => {
  assertRejected(
    t,
    [{ grace: '10s' }, { grace: 0 }, { confirmBy: 'access' }, { replayDetection: 'revoke' }].map(
      refreshToken => {
        const path = `"refreshToken.${Object.keys(refreshToken)[0]}"`

        return [
          { rotation: false, refreshToken },
          `${path} requires "rotation"; remove one of "rotation: false" and ${path}`
        ] as const
      }
    )
  )
})

t.test('sessions without refresh tokens last as long as their access token', async t => {
  const { refreshLifetime, maxLifetime, paths } = resolve({
    refreshToken: false,
    accessToken: { lifetime: 5 }
  })
  t.strictSame([refreshLifetime, maxLifetime], [5 * SECOND, 5 * SECOND])
  t.equal(paths.refresh, false)
})

t.test('a number that is not an integer within its limits is rejected', async t => {
  assertRejected(t, [
    ...[0, -1, 1.5, 101, '3', null, NaN].map(maxSessions =>
      [{ maxSessions }, /"maxSessions" must be an integer from 1 to 100, not /] as const
    ),
    ...[1, 0, -1, 2.5, '10', Infinity, null].map(cacheSize =>
      [
        { accessToken: { cacheSize } },
        /"accessToken\.cacheSize" must be an integer of at least 2, not /
      ] as const
    )
  ])
})

t.test('a value that is not one of the valid ones is rejected', async t => {
  assertRejected(t, [
    [{ rotation: 'false' }, /"rotation" must be true or false, not "false"$/],
    [{ rotation: null }, /"rotation" must be true or false, not null$/],
    [
      { refreshToken: { confirmBy: 'both' } },
      /"refreshToken\.confirmBy" must be "access" or "refresh", not "both"$/
    ],
    [
      { refreshToken: { confirmWrites: 'now' } },
      /"refreshToken\.confirmWrites" must be "batched" or "immediate", not "now"$/
    ],
    [
      { refreshToken: { replayDetection: 'end' } },
      /"refreshToken\.replayDetection" must be "report", "revoke" or false, not "end"$/
    ],
    [
      { refreshToken: { isSameClient: 'address' } },
      /"refreshToken\.isSameClient" must be a function that compares two callers$/
    ],
    ...['Cookie', 'header', '', 'none', true, ['cookie'], {}, null].map(transport =>
      [
        { refreshToken: { transport } },
        /"refreshToken\.transport" must be "body", "cookie" or "both"/
      ] as const
    )
  ])
})

t.test('revocation options outside their limits are rejected', async t => {
  assertRejected(t, [
    [
      { revocations: { pollInterval: '5ms' } },
      /"revocations\.pollInterval" must be from 10ms to 1m, not "5ms"$/
    ],
    [
      { revocations: { pollInterval: '2m' } },
      /"revocations\.pollInterval" must be from 10ms to 1m, not "2m"$/
    ],
    [
      { revocations: { failAfter: '1s' } },
      /"revocations\.failAfter" must be at least "storeTimeout" and at least twice "revocations\./
    ],
    [
      { revocations: { pollInterval: '1m', failAfter: '119s' } },
      /"revocations\.failAfter" must be at least "storeTimeout" and at least twice "revocations\./
    ],
    [
      { revocations: { subscribe: true } },
      /"revocations\.subscribe" must be a function that takes a function and calls it$/
    ],
    [{ sweep: { interval: '999ms' } }, /"sweep\.interval" must be from 1s to 24d, not "999ms"$/],
    [{ sweep: { interval: '25d' } }, /"sweep\.interval" must be from 1s to 24d, not "25d"$/]
  ])
})

t.test('a single instance does not read revocations', async t => {
  t.strictSame(resolve({ revocations: false }).revocations, {
    pollInterval: null,
    failAfter: null,
    subscribe: undefined
  })
})
