import t from 'tap'
import { createTestApp, PASSWORD, PASSWORD_HASH } from '../../helpers/app.js'
import {
  assertLogHasNoSecret,
  assertRejected,
  form,
  json,
  MARK,
  MARKED_NUMBER
} from './raw-client.js'

t.test('a field that is not a string is rejected', async t => {
  const fields = [
    ['/auth/login', 'username'],
    ['/auth/login', 'email'],
    ['/auth/login', 'password'],
    ['/auth/login', 'device'],
    ['/auth/refresh', 'refresh_token'],
    ['/auth/logout', 'refresh_token']
  ] as const

  for (const [path, field] of fields) {
    // A client without a token may send `null`.
    const isAbsent = (value: unknown): boolean => value === null && field === 'refresh_token'

    for (
      const value of [null, MARKED_NUMBER, 0, true, false, [], [MARK], ['ann'], {}, {
        [MARK]: MARK
      }, { length: 3 }]
    ) {
      // Optional members of a login may be null.
      if (value === null && (field === 'email' || field === 'device')) {
        continue
      }

      const body = { username: 'ann', password: PASSWORD, [field]: value }
      const [status, code] = isAbsent(value)
        ? [401, 'AUTH_REFRESH_MISSING'] as const
        : [400, 'AUTH_REQUEST_INVALID'] as const
      await assertRejected(t, `${field} ${JSON.stringify(value)}`, json(path, body), status, code)
    }
  }
})

t.test('the message names a lone surrogate', async t => {
  const { app } = await createTestApp()
  t.teardown(() => app.close())
  const response = await app.inject({
    method: 'POST',
    url: '/auth/refresh',
    headers: { 'content-type': 'application/json' },
    payload: '{"refresh_token":"\\ud800"}'
  })
  t.equal(response.json().message, 'Request is malformed: body must not contain a lone surrogate')
})

t.test('lone surrogates and NUL are rejected', async t => {
  for (const surrogate of ['\\ud800', '\\udfff', '\\udc00\\ud800', '\\ud83d']) {
    for (const field of ['username', 'email', 'password', 'device']) {
      const rest = Object.entries({ username: 'ann', password: PASSWORD }).filter(([name]) =>
        name !== field
      )
        .map(([name, value]) => `"${name}":"${value}",`).join('')
      const text = `{${rest}"${field}":"${MARK}${surrogate}"}`
      await assertRejected(
        t,
        `${surrogate} in ${field}`,
        json('/auth/login', text),
        400,
        'AUTH_REQUEST_INVALID'
      )
    }

    for (const path of ['/auth/refresh', '/auth/logout']) {
      await assertRejected(
        t,
        surrogate,
        json(path, `{"refresh_token":"${MARK}${surrogate}"}`),
        400,
        'AUTH_REQUEST_INVALID'
      )
    }
  }

  for (const field of ['username', 'email', 'device']) {
    const body = { username: 'ann', password: MARK, [field]: `ann\0${MARK}` }
    await assertRejected(
      t,
      `NUL in ${field}`,
      json('/auth/login', body),
      400,
      'AUTH_REQUEST_INVALID'
    )
  }

  await assertRejected(
    t,
    'NUL in a form',
    form('/auth/login', `username=ann%00&password=${MARK}`),
    400,
    'AUTH_REQUEST_INVALID'
  )
})

t.test('missing, empty and too long fields are rejected', async t => {
  const bodies = [
    { username: MARK },
    { username: 'ann', password: '' },
    { password: MARK },
    { username: '', password: MARK },
    { username: '', email: '', password: MARK },
    { username: MARK.padEnd(321, 'x'), password: MARK },
    { email: MARK.padEnd(321, 'x'), password: MARK },
    { username: 'ann', password: MARK.padEnd(1025, 'x') },
    { username: 'ann', password: MARK.padEnd(15_000, 'x') },
    { username: 'ann', password: PASSWORD, device: MARK.padEnd(129, 'x') }
  ]

  for (const body of bodies) {
    await assertRejected(
      t,
      JSON.stringify(body).slice(0, 60),
      json('/auth/login', body),
      400,
      'AUTH_REQUEST_INVALID'
    )
    await assertRejected(
      t,
      'the same as a form',
      form('/auth/login', new URLSearchParams(Object.entries(body)).toString()),
      400,
      'AUTH_REQUEST_INVALID'
    )
  }

  for (const path of ['/auth/refresh', '/auth/logout']) {
    await assertRejected(
      t,
      'a token of 8193',
      json(path, { refresh_token: MARK.padEnd(8193, 'x') }),
      400,
      'AUTH_REQUEST_INVALID'
    )
  }
})

t.test('unusual user names and passwords are treated as incorrect ones', async t => {
  const odd = [
    'u-ann',
    'ANN',
    ' ann',
    'ann ',
    '\' OR 1=1--',
    '__proto__',
    'constructor',
    'toString',
    '*',
    '%',
    '${jndi:ldap://127.0.0.1:9}', // eslint-disable-line no-template-curly-in-string
    'ann\r\nlevel: 60',
    '\u001b[31mann',
    '\u{1f511}',
    '\u0430nn',
    'x'.repeat(320)
  ]

  for (const username of odd) {
    await assertRejected(
      t,
      JSON.stringify(username).slice(0, 40),
      json('/auth/login', { username, password: MARK }),
      401,
      'AUTH_CREDENTIALS_REJECTED'
    )
  }

  for (
    const password of [
      `${MARK}\0`,
      `${PASSWORD} `,
      PASSWORD_HASH,
      MARK.padEnd(1024, 'x'),
      `${PASSWORD}\0${MARK}`
    ]
  ) {
    await assertRejected(
      t,
      JSON.stringify(password).slice(0, 40),
      json('/auth/login', { username: 'ann', password }),
      401,
      'AUTH_CREDENTIALS_REJECTED'
    )
  }

  for (const text of ['%ff', '%', '%ED%A0%80', '+', '%00']) {
    await assertRejected(
      t,
      `${text} in a form`,
      form('/auth/login', `username=ann&password=${MARK}${text}`),
      401,
      'AUTH_CREDENTIALS_REJECTED'
    )
  }
})

t.test('a username and a different email are rejected', async t => {
  const body = { username: 'ann', email: 'bob', password: MARK }
  await assertRejected(t, 'both', json('/auth/login', body), 400, 'AUTH_REQUEST_INVALID')
})

// Last, because it checks the log of all tests above.
t.test('the log at level trace contains every request and no secret', async t => {
  assertLogHasNoSecret(t, { minRequests: 120, minSecrets: 4 })
})
