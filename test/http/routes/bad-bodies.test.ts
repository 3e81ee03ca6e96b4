import t from 'tap'
import { PASSWORD } from '../../helpers/app.js'
import {
  assertLogHasNoSecret,
  assertRejected,
  form,
  FORM_TYPE,
  json,
  JSON_TYPE,
  login,
  MARK,
  MARKED_NUMBER,
  MEGABYTE,
  send
} from './raw-client.js'
import type { Sent } from './raw-client.js'

/** Routes that accept a body, and their field that contains a secret. */
const takers = {
  '/auth/login': 'password',
  '/auth/refresh': 'refresh_token',
  '/auth/logout': 'refresh_token'
}

t.test('malformed JSON is rejected', async t => {
  for (const [path, field] of Object.entries(takers)) {
    const sound = `{"${field}":"${MARK}"}`
    const texts = [
      '{',
      '}',
      sound.slice(0, -1),
      sound.slice(0, -3),
      `${sound}${sound}`,
      `${sound}x`,
      sound.replaceAll('"', '\''),
      `{${field}:"${MARK}"}`,
      `{"${field}":"${MARK}",}`,
      `{"${field}":"${MARK}\n"}`,
      `{"${field}":"\\x${MARK}"}`,
      MARK,
      `"${MARK}`,
      'undefined',
      'NaN',
      '\0',
      ' ',
      '\n',
      `${field}=${MARK}`,
      '['.repeat(8000),
      '{"a":'.repeat(3000)
    ]

    for (const text of texts) {
      await assertRejected(
        t,
        JSON.stringify(text.slice(0, 30)),
        json(path, text),
        400,
        'AUTH_REQUEST_INVALID'
      )
    }

    await assertRejected(
      t,
      'UTF-16',
      { path, type: JSON_TYPE, body: Buffer.from(sound, 'utf16le') },
      400,
      'AUTH_REQUEST_INVALID'
    )
    await assertRejected(
      t,
      'bytes',
      { path, type: JSON_TYPE, body: Buffer.from([0xff, 0xfe, 0x00, 0x80]) },
      400,
      'AUTH_REQUEST_INVALID'
    )
  }
})

t.test('JSON that is not an object is rejected', async t => {
  for (const [path, field] of Object.entries(takers)) {
    const bodies = [
      [],
      [MARK],
      [{ [field]: MARK }],
      JSON.stringify(MARK),
      '""',
      '"\\ud800"',
      MARKED_NUMBER,
      0,
      true,
      false
    ]

    for (const body of bodies) {
      await assertRejected(t, JSON.stringify(body), json(path, body), 400, 'AUTH_REQUEST_INVALID')
    }
  }

  await assertRejected(t, 'null', json('/auth/login', 'null'), 400, 'AUTH_REQUEST_INVALID')
  await assertRejected(t, 'null', json('/auth/refresh', 'null'), 401, 'AUTH_REFRESH_MISSING')
  await assertRejected(t, 'null', json('/auth/logout', 'null'), 401, 'AUTH_REFRESH_MISSING')
})

t.test('a body with a prototype member is rejected', async t => {
  for (const [path, field] of Object.entries(takers)) {
    const texts = [
      `{"__proto__":{"${field}":"${MARK}"}}`,
      `{"username":"ann","${field}":"${MARK}","__proto__":{"polluted":"${MARK}"}}`,
      `{"username":"ann","${field}":"${MARK}","\\u005f\\u005fproto__":{"polluted":"${MARK}"}}`,
      `{"username":"ann","${field}":"${MARK}","x":[{"__proto__":{"polluted":"${MARK}"}}]}`,
      `{"username":"ann","${field}":"${MARK}","constructor":{"prototype":{"polluted":"${MARK}"}}}`,
      `{"username":"ann","${field}":"${MARK}",` +
      `"x":{"constructor":{"prototype":{"polluted":"${MARK}"}}}}`
    ]

    for (const text of texts) {
      await assertRejected(t, text, json(path, text), 400, 'AUTH_REQUEST_INVALID')
    }

    for (const name of ['__proto__', '%5F_proto__', '__proto__&x']) {
      await assertRejected(
        t,
        `form with ${name}`,
        form(path, `username=ann&${field}=${MARK}&${name}=${MARK}`),
        400,
        'AUTH_REQUEST_INVALID'
      )
    }
  }

  const inherited =
    'constructor=1&hasOwnProperty=1&__proto__%5Bpolluted%5D=1&constructor.prototype.polluted=1'
  await assertRejected(
    t,
    'other names are mere names',
    form('/auth/login', `username=ann&password=${MARK}&${inherited}`),
    401,
    'AUTH_CREDENTIALS_REJECTED'
  )
  t.notOk('polluted' in {})
})

t.test('a form with a repeated field is rejected', async t => {
  const forms = {
    '/auth/login': [
      `username=ann&password=${MARK}&password=${MARK}`,
      `username=ann&password=${PASSWORD}&password=`,
      `username=ann&username=bob&password=${MARK}`,
      `username=ann&password=${MARK}&%70assword=${MARK}`,
      `username=ann&password=${MARK}&x=1&x=2`
    ],
    '/auth/refresh': [
      `refresh_token=${MARK}&refresh_token=${MARK}`,
      `refresh_token=&refresh_token=${MARK}`
    ],
    '/auth/logout': [`refresh_token=${MARK}&refresh_token=${MARK}`]
  }

  for (const [path, bodies] of Object.entries(forms)) {
    for (const body of bodies) {
      await assertRejected(t, body, form(path, body), 400, 'AUTH_REQUEST_INVALID')
    }
  }
})

t.test('a body of another content type is rejected', async t => {
  const types = [
    'text/plain',
    'multipart/form-data; boundary=x',
    null,
    'application/xml',
    'application/jsonp',
    'application/json-patch+json',
    'text/json',
    'application/octet-stream',
    'image/png',
    '*/*',
    'nonsense',
    ';',
    `text/plain; name=${MARK}`
  ]

  for (const [path, field] of Object.entries(takers)) {
    for (const type of types) {
      const body = `{"username":"ann","${field}":"${MARK}"}`
      await assertRejected(
        t,
        type ?? 'absent',
        { path, type, body },
        415,
        'FST_ERR_CTP_INVALID_MEDIA_TYPE'
      )
    }

    const part =
      `--x\r\nContent-Disposition: form-data; name="${field}"\r\n\r\n${MARK}\r\n--x--\r\n`
    await assertRejected(
      t,
      'multipart',
      { path, type: 'multipart/form-data; boundary=x', body: part },
      415,
      'FST_ERR_CTP_INVALID_MEDIA_TYPE'
    )
  }
})

t.test('a missing or empty body is rejected', async t => {
  const empty: Array<[name: string, sent: Omit<Sent, 'path'>]> = [
    ['nothing at all', {}],
    ['an empty text', { body: '' }],
    ['an empty stream', { type: JSON_TYPE, body: '', chunked: true }],
    ['empty JSON', { type: JSON_TYPE, body: '' }],
    ['an empty form', { type: FORM_TYPE, body: '' }],
    ['an empty object', { type: JSON_TYPE, body: '{}' }],
    ['other fields', { type: JSON_TYPE, body: JSON.stringify({ token: MARK }) }]
  ]

  for (const [name, sent] of empty) {
    await assertRejected(t, name, { path: '/auth/login', ...sent }, 400, 'AUTH_REQUEST_INVALID')
    await assertRejected(t, name, { path: '/auth/refresh', ...sent }, 401, 'AUTH_REFRESH_MISSING')
    await assertRejected(t, name, { path: '/auth/logout', ...sent }, 401, 'AUTH_REFRESH_MISSING')
  }

  for (const path of ['/auth/refresh', '/auth/logout']) {
    await assertRejected(
      t,
      'an empty token',
      json(path, { refresh_token: '' }),
      401,
      'AUTH_REFRESH_MISSING'
    )
    await assertRejected(
      t,
      'an empty token in a form',
      form(path, 'refresh_token='),
      401,
      'AUTH_REFRESH_MISSING'
    )
  }
})

t.test('a body of one megabyte is rejected', async t => {
  for (const [path, field] of Object.entries(takers)) {
    const long = MARK.padEnd(MEGABYTE, 'x')
    const bodies: Array<[name: string, sent: Sent]> = [
      ['of a field in JSON', json(path, { username: 'ann', [field]: long })],
      ['of a field in a form', form(path, `username=ann&${field}=${long}`)],
      ['of spaces', json(path, ' '.repeat(MEGABYTE))],
      ['of brackets', json(path, '['.repeat(MEGABYTE))],
      ['of fields', form(path, 'a=1&'.repeat(MEGABYTE / 4))]
    ]

    for (const [name, sent] of bodies) {
      await assertRejected(t, name, sent, 413, 'FST_ERR_CTP_BODY_TOO_LARGE')
      await assertRejected(
        t,
        `${name}, as a stream`,
        { ...sent, chunked: true },
        413,
        'FST_ERR_CTP_BODY_TOO_LARGE'
      )
    }
  }
})

t.test('a repeated member is rejected at the top level only', async t => {
  const { refresh } = await login()
  const raw = (body: string): Sent => ({ ...json('/auth/refresh', {}), body })
  await assertRejected(
    t,
    'twice',
    raw(`{"refresh_token":"${MARK}","refresh_token":"${refresh}"}`),
    400,
    'AUTH_REQUEST_INVALID'
  )
  await assertRejected(
    t,
    'escaped',
    raw(`{"refresh\\u005ftoken":"${MARK}","refresh_token":"${refresh}"}`),
    400,
    'AUTH_REQUEST_INVALID'
  )
  t.equal(
    (await send(raw(`{"a":{"a":1,"b":[{"a":2}]},"b":"a\\"b\\":","refresh_token":"${refresh}"}`)))
      .status,
    200
  )
})

// Last, because it checks the log of all tests above.
t.test('the log at level trace contains every request and no secret', async t => {
  assertLogHasNoSecret(t, { minRequests: 200, minSecrets: 10 })
})
