// Over real sockets, since inject hides repeated headers. Whatever is sent as a secret holds MARK, and whatever is issued is
// remembered, so that no answer, and no line of a log at its most talkative level, holds any of it.

import { createHmac } from 'node:crypto'
import { request } from 'node:http'
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import type { Test } from 'tap'
import type { TokenResponse, TokenStore } from '../../../src/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { createTestApp, PASSWORD, PASSWORD_HASH, SECRET } from '../../helpers/app.js'
import type { TestApp } from '../../helpers/app.js'

const MARK = 'mArKeR7Qx'
const MARKED_NUMBER = 9876543210123
const JSON_TYPE = 'application/json'
const FORM_TYPE = 'application/x-www-form-urlencoded'
const MEGABYTE = 2 ** 20

interface Sent {
  readonly method?: string
  readonly path: string
  /** Each becomes an Authorization header of its own. */
  readonly authorization?: readonly string[]
  readonly type?: string | null
  readonly body?: string | Buffer
  /** Without a length, as a stream. */
  readonly chunked?: boolean
}

interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
  /** Everything that came back, as one text. */
  readonly all: string
}

type Send = (sent: Sent) => Promise<Answer>

function createSend (app: TestApp['app']): Send {
  const { port } = app.server.address() as AddressInfo

  return ({ method = 'POST', path, authorization = [], type = null, body, chunked = false }) => {
    const headers: OutgoingHttpHeaders = {}

    if (authorization.length > 0) {
      headers.Authorization = [...authorization]
    }

    if (type !== null) {
      headers['content-type'] = type
    }

    if (chunked) {
      headers['transfer-encoding'] = 'chunked'
    } else if (body !== undefined) {
      headers['content-length'] = Buffer.byteLength(body)
    }

    return new Promise((resolve, reject) => {
      // A server that has answered may stop reading; the error that this makes comes too late to matter.
      request({ host: '127.0.0.1', port, method, path, headers, agent: false }, response => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => {
          chunks.push(chunk)
        })
        response.on('error', reject)
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString()
          const all = [response.statusMessage, ...response.rawHeaders, text].join('\n')
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text, all })
        })
      }).on('error', reject).end(body)
    })
  }
}

const secrets = new Set([MARK, `${MARKED_NUMBER}`, PASSWORD, PASSWORD_HASH, SECRET])

/** Remembers a token, its parts but for the header that all share, and the secret inside, so that they are looked for. */
function remember (token: string): string {
  const [, payload = '', signature = ''] = token.split('.')
  const { secret = token } = JSON.parse(Buffer.from(payload, 'base64url').toString()) as {
    secret?: string
  }

  for (const text of [token, payload, signature, secret]) {
    secrets.add(text)
  }

  return token
}

function leaksOf (text: string): string[] {
  return [...secrets].filter(secret => text.includes(secret))
}

function watch (store: TokenStore, calls: string[]): TokenStore {
  return new Proxy(store, {
    get (target, verb: keyof TokenStore) {
      const call = target[verb] as (...args: unknown[]) => unknown

      return (...args: unknown[]) => {
        calls.push(verb)
        return call.apply(target, args)
      }
    }
  })
}

async function listen (
  t: Test,
  fastify: object = {}
): Promise<{ auth: TestApp, send: Send, storeCalls: string[] }> {
  const storeCalls: string[] = []
  const auth = await createTestApp({ fastify, store: watch(new MemoryStore(), storeCalls) })
  t.teardown(() => auth.app.close())
  await auth.app.listen({ host: '127.0.0.1', port: 0 })
  return { auth, send: createSend(auth.app), storeCalls }
}

const log: string[] = []
const { auth, send } = await listen(t, {
  logger: {
    level: 'trace',
    stream: {
      write (line: string) {
        log.push(line)
      }
    }
  }
})
let requests = 0

async function login (username = 'ann'): Promise<{ access: string, refresh: string }> {
  const answer = await auth.login(username)

  return {
    access: remember(answer.access_token),
    refresh: remember(answer.refresh_token as string)
  }
}

/** Sends what must be refused, and looks at all that every refusal has in common. */
async function isRefused (
  t: Test,
  name: string,
  sent: Sent,
  status: number,
  code: string
): Promise<void> {
  requests++
  const answer = await send(sent)
  const where = `${sent.method ?? 'POST'} ${sent.path}: ${name}`
  t.equal(answer.status, status, `${where} is ${status}`)
  const body = JSON.parse(answer.body) as Record<string, unknown>
  t.strictSame([body.code, body.statusCode], [code, status], `${where}: ${code}`)
  t.strictSame(
    Object.keys(body).sort(),
    ['code', 'error', 'message', 'statusCode'],
    `${where}: the body is Fastify's`
  )

  if (sent.path.startsWith('/auth/')) {
    t.equal(answer.headers['cache-control'], 'no-store', `${where}: is not cached`)
  }

  if (status === 401) {
    t.match(answer.headers['www-authenticate'], /^Bearer realm="auth"/, `${where}: has a challenge`)
  }

  t.strictSame(leaksOf(answer.all), [], `${where}: nothing comes back`)
}

function json (path: string, body: unknown): Sent {
  return { path, type: JSON_TYPE, body: typeof body === 'string' ? body : JSON.stringify(body) }
}

function form (path: string, body: string): Sent {
  return { path, type: FORM_TYPE, body }
}

function bearer (token: string): string[] {
  return [`Bearer ${token}`]
}

/** The routes that take a body, and the field of each that holds a secret. */
const takers = {
  '/auth/login': 'password',
  '/auth/refresh': 'refresh_token',
  '/auth/logout': 'refresh_token'
}

/** The routes that take an access token. */
const guarded: ReadonlyArray<readonly [method: string, path: string]> = [
  ['GET', '/protected'],
  ['GET', '/auth/me'],
  ['GET', '/auth/sessions'],
  ['DELETE', '/auth/sessions/s1'],
  ['POST', '/auth/logout/all']
]

t.test('a body that is no sound JSON', async t => {
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
      await isRefused(
        t,
        JSON.stringify(text.slice(0, 30)),
        json(path, text),
        400,
        'AUTH_REQUEST_INVALID'
      )
    }

    await isRefused(
      t,
      'UTF-16',
      { path, type: JSON_TYPE, body: Buffer.from(sound, 'utf16le') },
      400,
      'AUTH_REQUEST_INVALID'
    )
    await isRefused(
      t,
      'bytes',
      { path, type: JSON_TYPE, body: Buffer.from([0xff, 0xfe, 0x00, 0x80]) },
      400,
      'AUTH_REQUEST_INVALID'
    )
  }
})

t.test('JSON that is no object', async t => {
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
      await isRefused(t, JSON.stringify(body), json(path, body), 400, 'AUTH_REQUEST_INVALID')
    }
  }

  await isRefused(t, 'null', json('/auth/login', 'null'), 400, 'AUTH_REQUEST_INVALID')
  await isRefused(t, 'null', json('/auth/refresh', 'null'), 401, 'AUTH_REFRESH_MISSING')
  await isRefused(t, 'null', json('/auth/logout', 'null'), 401, 'AUTH_REFRESH_MISSING')
})

t.test('a field of another type is not taken for a text', async t => {
  const fields = [
    ['/auth/login', 'username'],
    ['/auth/login', 'email'],
    ['/auth/login', 'password'],
    ['/auth/login', 'device'],
    ['/auth/refresh', 'refresh_token'],
    ['/auth/logout', 'refresh_token']
  ] as const

  for (const [path, field] of fields) {
    // A client that has no token may say so by null.
    const isAbsent = (value: unknown): boolean => value === null && field === 'refresh_token'

    for (
      const value of [null, MARKED_NUMBER, 0, true, false, [], [MARK], ['ann'], {}, {
        [MARK]: MARK
      }, { length: 3 }]
    ) {
      const body = { username: 'ann', password: PASSWORD, [field]: value }
      const [status, code] = isAbsent(value)
        ? [401, 'AUTH_REFRESH_MISSING'] as const
        : [400, 'AUTH_REQUEST_INVALID'] as const
      await isRefused(t, `${field} ${JSON.stringify(value)}`, json(path, body), status, code)
    }
  }
})

t.test('a body that names a prototype', async t => {
  for (const [path, field] of Object.entries(takers)) {
    const texts = [
      `{"__proto__":{"${field}":"${MARK}"}}`,
      `{"username":"ann","${field}":"${MARK}","__proto__":{"polluted":"${MARK}"}}`,
      `{"username":"ann","${field}":"${MARK}","\\u005f\\u005fproto__":{"polluted":"${MARK}"}}`,
      `{"username":"ann","${field}":"${MARK}","x":[{"__proto__":{"polluted":"${MARK}"}}]}`,
      `{"username":"ann","${field}":"${MARK}","constructor":{"prototype":{"polluted":"${MARK}"}}}`,
      `{"username":"ann","${field}":"${MARK}","x":{"constructor":{"prototype":{"polluted":"${MARK}"}}}}`
    ]

    for (const text of texts) {
      await isRefused(t, text, json(path, text), 400, 'AUTH_REQUEST_INVALID')
    }

    for (const name of ['__proto__', '%5F_proto__', '__proto__&x']) {
      await isRefused(
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
  await isRefused(
    t,
    'other names are mere names',
    form('/auth/login', `username=ann&password=${MARK}&${inherited}`),
    401,
    'AUTH_CREDENTIALS_REJECTED'
  )
  t.notOk('polluted' in {})
})

t.test('a form in which a field is repeated', async t => {
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
      await isRefused(t, body, form(path, body), 400, 'AUTH_REQUEST_INVALID')
    }
  }
})

t.test('lone surrogates and NUL', async t => {
  for (const surrogate of ['\\ud800', '\\udfff', '\\udc00\\ud800', '\\ud83d']) {
    for (const field of ['username', 'email', 'password', 'device']) {
      const rest = Object.entries({ username: 'ann', password: PASSWORD }).filter(([name]) =>
        name !== field
      )
        .map(([name, value]) => `"${name}":"${value}",`).join('')
      const text = `{${rest}"${field}":"${MARK}${surrogate}"}`
      await isRefused(
        t,
        `${surrogate} in ${field}`,
        json('/auth/login', text),
        400,
        'AUTH_REQUEST_INVALID'
      )
    }

    for (const path of ['/auth/refresh', '/auth/logout']) {
      await isRefused(
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
    await isRefused(t, `NUL in ${field}`, json('/auth/login', body), 400, 'AUTH_REQUEST_INVALID')
  }

  await isRefused(
    t,
    'NUL in a form',
    form('/auth/login', `username=ann%00&password=${MARK}`),
    400,
    'AUTH_REQUEST_INVALID'
  )
})

t.test('a body of a type that is not taken', async t => {
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
      await isRefused(
        t,
        type ?? 'absent',
        { path, type, body },
        415,
        'FST_ERR_CTP_INVALID_MEDIA_TYPE'
      )
    }

    const part =
      `--x\r\nContent-Disposition: form-data; name="${field}"\r\n\r\n${MARK}\r\n--x--\r\n`
    await isRefused(
      t,
      'multipart',
      { path, type: 'multipart/form-data; boundary=x', body: part },
      415,
      'FST_ERR_CTP_INVALID_MEDIA_TYPE'
    )
  }
})

t.test('an absent or empty body', async t => {
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
    await isRefused(t, name, { path: '/auth/login', ...sent }, 400, 'AUTH_REQUEST_INVALID')
    await isRefused(t, name, { path: '/auth/refresh', ...sent }, 401, 'AUTH_REFRESH_MISSING')
    await isRefused(t, name, { path: '/auth/logout', ...sent }, 401, 'AUTH_REFRESH_MISSING')
  }

  for (const path of ['/auth/refresh', '/auth/logout']) {
    await isRefused(
      t,
      'an empty token',
      json(path, { refresh_token: '' }),
      401,
      'AUTH_REFRESH_MISSING'
    )
    await isRefused(
      t,
      'an empty token in a form',
      form(path, 'refresh_token='),
      401,
      'AUTH_REFRESH_MISSING'
    )
  }
})

t.test('fields that are missing, empty or too long', async t => {
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
    await isRefused(
      t,
      JSON.stringify(body).slice(0, 60),
      json('/auth/login', body),
      400,
      'AUTH_REQUEST_INVALID'
    )
    await isRefused(
      t,
      'the same as a form',
      form('/auth/login', new URLSearchParams(Object.entries(body)).toString()),
      400,
      'AUTH_REQUEST_INVALID'
    )
  }

  for (const path of ['/auth/refresh', '/auth/logout']) {
    await isRefused(
      t,
      'a token of 8193',
      json(path, { refresh_token: MARK.padEnd(8193, 'x') }),
      400,
      'AUTH_REQUEST_INVALID'
    )
  }
})

t.test('odd names and passwords are names and passwords that are wrong', async t => {
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
    await isRefused(
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
    await isRefused(
      t,
      JSON.stringify(password).slice(0, 40),
      json('/auth/login', { username: 'ann', password }),
      401,
      'AUTH_CREDENTIALS_REJECTED'
    )
  }

  for (const text of ['%ff', '%', '%ED%A0%80', '+', '%00']) {
    await isRefused(
      t,
      `${text} in a form`,
      form('/auth/login', `username=ann&password=${MARK}${text}`),
      401,
      'AUTH_CREDENTIALS_REJECTED'
    )
  }
})

t.test('a megabyte', async t => {
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
      await isRefused(t, name, sent, 413, 'FST_ERR_CTP_BODY_TOO_LARGE')
      await isRefused(
        t,
        `${name}, as a stream`,
        { ...sent, chunked: true },
        413,
        'FST_ERR_CTP_BODY_TOO_LARGE'
      )
    }
  }
})

/** What is no token, and what is nearly one. All of it fits in a header. */
function spoiltTokens (token: string): Array<readonly [name: string, token: string]> {
  const [head, payload, signature] = token.split('.') as [string, string, string]
  const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as object
  const { kid, typ } = JSON.parse(Buffer.from(head, 'base64url').toString()) as {
    kid: string
    typ: string
  }
  const sign = (input: string, key: string): string =>
    `${input}.${createHmac('sha256', key).update(input).digest('base64url')}`
  const last = signature.at(-1) === 'A' ? 'E' : 'A'
  const spoilt: Array<readonly [name: string, token: string]> = [
    ['a word', MARK],
    ['null', 'null'],
    ['an object', '[object Object]'],
    ['dots', '..'],
    ['three words', `${MARK}.${MARK}.${MARK}`],
    ['8192 characters', MARK.padEnd(8192, 'x')],
    ['bytes beyond ASCII', `${MARK}\u00e9\u00ff`],
    ['in quotes', JSON.stringify(token)],
    ['as JSON', JSON.stringify({ payload, protected: head, signature })],
    ['as a JWE', `${head}.${payload}.${payload}.${payload}.${signature}`],
    ['without a signature', `${head}.${payload}.`],
    ['without its last part', `${head}.${payload}`],
    ['a character less', token.slice(0, -1)],
    ['twenty characters less', token.slice(0, -20)],
    ['a character more', `${token}A`],
    ['another last character', token.slice(0, -1) + last],
    ['padded', `${token}=`],
    ['twice', `${token}.${token}`],
    ['alg none', `${encode({ alg: 'none', typ, kid })}.${payload}.`],
    ['alg none and a signature', `${encode({ alg: 'none', typ, kid })}.${payload}.${signature}`],
    ['another user', `${head}.${encode({ ...claims, sub: 'u-bob' })}.${signature}`],
    ['another generation', `${head}.${encode({ ...claims, gen: 1 })}.${signature}`],
    ['forged with an empty key', sign(`${head}.${payload}`, '')],
    ['forged with the secret itself', sign(`${head}.${payload}`, SECRET)],
    [
      'forged with a key of its own',
      sign(`${encode({ alg: 'HS256', typ, kid, jwk: { kty: 'oct', k: MARK } })}.${payload}`, MARK)
    ],
    [
      'forged under another kid',
      sign(`${encode({ alg: 'HS256', typ, kid: MARK })}.${encode({ ...claims, name: MARK })}`, MARK)
    ]
  ]

  for (const [, text] of spoilt) {
    if (text.length > 100) {
      secrets.add(text)
    }
  }

  return spoilt
}

t.test('no spoilt or swapped token is an access token', async t => {
  const { access, refresh } = await login()
  const tokens = [...spoiltTokens(access), ['the refresh token', refresh] as const]

  for (const [method, path] of guarded) {
    for (const [name, token] of tokens) {
      await isRefused(
        t,
        name,
        { method, path, authorization: bearer(token) },
        401,
        'AUTH_ACCESS_INVALID'
      )
    }
  }

  t.equal(
    (await send({ method: 'GET', path: '/protected', authorization: bearer(access) })).status,
    200,
    'the sound one still is'
  )
})

t.test('no spoilt or swapped token refreshes', async t => {
  const { access, refresh } = await login()
  const tokens = [...spoiltTokens(refresh), ['the access token', access] as const]

  for (const [name, token] of tokens) {
    await isRefused(
      t,
      `${name}, as JSON`,
      json('/auth/refresh', { refresh_token: token }),
      401,
      'AUTH_REFRESH_INVALID'
    )
    const body = new URLSearchParams({ refresh_token: token }).toString()

    if (body.length < 16_384) {
      await isRefused(
        t,
        `${name}, as a form`,
        form('/auth/refresh', body),
        401,
        'AUTH_REFRESH_INVALID'
      )
    }

    await isRefused(
      t,
      `${name}, as bearer`,
      { path: '/auth/refresh', authorization: bearer(token) },
      401,
      'AUTH_REFRESH_INVALID'
    )
  }

  const answer = await send(json('/auth/refresh', { refresh_token: refresh }))
  t.equal(answer.status, 200, 'nothing of this has ended the session')
  remember((JSON.parse(answer.body) as TokenResponse).access_token)
  remember((JSON.parse(answer.body) as TokenResponse).refresh_token as string)
})

t.test('no spoilt token logs anybody out, and none is told so', async t => {
  const { refresh, access } = await login()

  for (const [name, token] of [...spoiltTokens(refresh), ...spoiltTokens(access)]) {
    for (
      const sent of [json('/auth/logout', { refresh_token: token }), {
        path: '/auth/logout',
        authorization: bearer(token)
      }]
    ) {
      requests++
      const answer = await send(sent)
      t.strictSame([answer.status, answer.body], [204, ''], name)
      t.equal(answer.headers['cache-control'], 'no-store', name)
      t.strictSame(leaksOf(answer.all), [], name)
    }
  }

  t.equal(
    (await send({ method: 'GET', path: '/auth/me', authorization: bearer(access) })).status,
    200
  )
})

t.test('an Authorization header that is no bearer token', async t => {
  const { access } = await login()
  const headers = [
    [],
    ['Bearer'],
    ['bearer'],
    ['Bearer '],
    ['Bearer   '],
    ['Bearer\t'],
    [''],
    [access],
    [`Bearer\t${access}`],
    [`Bearer:${access}`],
    [`Bearer=${access}`],
    [`Bearers ${access}`],
    [`"Bearer" ${access}`],
    [`Token ${access}`],
    [`Basic ${access}`],
    [`Basic ${Buffer.from(`ann:${MARK}`).toString('base64')}`],
    [`Digest ${MARK}`],
    [`${MARK} ${MARK}`],
    [`, Bearer ${access}`]
  ]

  for (const [method, path] of guarded) {
    for (const authorization of headers) {
      await isRefused(
        t,
        JSON.stringify(authorization).slice(0, 20),
        { method, path, authorization },
        401,
        'AUTH_ACCESS_MISSING'
      )
    }
  }

  for (const path of ['/auth/refresh', '/auth/logout']) {
    for (const authorization of headers) {
      await isRefused(
        t,
        JSON.stringify(authorization).slice(0, 20),
        { path, authorization },
        401,
        'AUTH_REFRESH_MISSING'
      )
    }
  }
})

t.test('a bearer token with something behind it', async t => {
  const { access } = await login()

  for (const scheme of ['Bearer', 'bearer', 'Bearer ']) {
    for (
      const rest of [
        ` ${MARK}`,
        `,${MARK}`,
        ', realm="auth"',
        ';',
        `, Bearer ${access}`,
        ` ${access}`,
        '\t.',
        '"',
        '\u00a0'
      ]
    ) {
      for (const [method, path] of guarded) {
        const authorization = [`${scheme} ${access}${rest}`]
        await isRefused(
          t,
          JSON.stringify(rest.slice(0, 12)),
          { method, path, authorization },
          401,
          'AUTH_ACCESS_INVALID'
        )
      }
    }
  }
})

t.test('two Authorization headers', async t => {
  const { access, refresh } = await login()
  const pairs = [
    [`Bearer ${access}`, `Bearer ${access}`],
    [`Bearer ${access}`, `Bearer ${MARK}`],
    [`Bearer ${MARK}`, `Bearer ${access}`],
    [`Bearer ${access}`, `Basic ${MARK}`],
    ['', `Bearer ${access}`],
    [`Bearer ${refresh}`, `Bearer ${refresh}`],
    [`Basic ${MARK}`, `Basic ${MARK}`]
  ]

  for (
    const [method, path] of [...guarded, ['POST', '/auth/refresh'], [
      'POST',
      '/auth/logout'
    ]] as typeof guarded
  ) {
    for (const authorization of pairs) {
      await isRefused(
        t,
        JSON.stringify(authorization.map(value => value.slice(0, 12))),
        { method, path, authorization },
        400,
        'AUTH_REQUEST_INVALID'
      )
    }
  }

  t.equal(
    (await send({ method: 'GET', path: '/auth/me', authorization: bearer(access) })).status,
    200,
    'nobody was logged out'
  )
})

t.test('a challenge names an error where a token was presented, and none where there was none', async t => {
  const none = await send({ method: 'GET', path: '/auth/me' })
  t.equal(none.headers['www-authenticate'], 'Bearer realm="auth"')
  const bad = await send({ method: 'GET', path: '/auth/me', authorization: bearer(MARK) })
  t.equal(
    bad.headers['www-authenticate'],
    'Bearer realm="auth", error="invalid_token", error_description="Access token is invalid"'
  )
})

t.test('the scheme is read in any case, and more than one space is allowed (RFC 9110 section 11.4)', async t => {
  const { access, refresh } = await login()

  for (const scheme of ['Bearer', 'bearer', 'BEARER', 'bEaReR', 'Bearer ', 'bearer   ']) {
    for (const path of ['/protected', '/auth/me', '/auth/sessions']) {
      const answer = await send({ method: 'GET', path, authorization: [`${scheme} ${access}`] })
      t.equal(answer.status, 200, `${scheme} on ${path}`)
    }

    const answer = await send({ path: '/auth/refresh', authorization: [`${scheme} ${refresh}`] })
    t.equal(answer.status, 200, `${scheme} on refresh`)
    remember((JSON.parse(answer.body) as TokenResponse).access_token)
    remember((JSON.parse(answer.body) as TokenResponse).refresh_token as string)
  }

  t.equal((await send({ path: '/auth/logout', authorization: [`BEARER  ${refresh}`] })).status, 204)
  await isRefused(
    t,
    'after the logout',
    json('/auth/refresh', { refresh_token: refresh }),
    401,
    'AUTH_REFRESH_REVOKED'
  )
})

t.test('two refresh tokens in one request', async t => {
  const { refresh } = await login()
  const { refresh: other } = await login('bob')

  for (const path of ['/auth/refresh', '/auth/logout']) {
    for (
      const [inBody, inHeader] of [[refresh, other], [refresh, refresh], [MARK, refresh]] as const
    ) {
      const sent = [json(path, { refresh_token: inBody }), form(path, `refresh_token=${inBody}`)]

      for (const one of sent) {
        await isRefused(
          t,
          `${one.type ?? ''} and bearer`,
          { ...one, authorization: bearer(inHeader) },
          400,
          'AUTH_REQUEST_INVALID'
        )
      }
    }
  }

  for (const token of [refresh, other]) {
    const answer = await send(json('/auth/refresh', { refresh_token: token }))
    t.equal(answer.status, 200, 'both are as good as before')
    remember((JSON.parse(answer.body) as TokenResponse).access_token)
    remember((JSON.parse(answer.body) as TokenResponse).refresh_token as string)
  }
})

t.test('an access token as bearer beside a refresh token is ignored', async t => {
  const ann = await login()
  const bob = await login('bob')
  const [forged] = spoiltTokens(bob.access).filter(([name]) => name === 'another user').map((
    [, token]
  ) => token)

  for (const token of [bob.access, ann.access, forged as string]) {
    const answer = await send({
      ...json('/auth/refresh', { refresh_token: ann.refresh }),
      authorization: bearer(token)
    })
    t.equal(answer.status, 200)
    const { user, access_token: access, refresh_token: refresh } = JSON.parse(
      answer.body
    ) as TokenResponse
    t.match(user, { id: 'u-ann' })
    remember(access)
    remember(refresh as string)
  }

  t.equal(
    (await send({
      ...json('/auth/logout', { refresh_token: ann.refresh }),
      authorization: bearer(bob.access)
    })).status,
    204
  )
  await isRefused(
    t,
    'whose refresh token it was',
    json('/auth/refresh', { refresh_token: ann.refresh }),
    401,
    'AUTH_REFRESH_REVOKED'
  )
  await isRefused(
    t,
    'and at once',
    { method: 'GET', path: '/auth/me', authorization: bearer(ann.access) },
    401,
    'AUTH_SESSION_REVOKED'
  )
  t.equal(
    (await send({ method: 'GET', path: '/auth/me', authorization: bearer(bob.access) })).status,
    200,
    'the bearer\'s session lives'
  )
})

t.test('a bad body where an access token is taken changes nothing', async t => {
  const { access } = await login()
  const authorization = bearer(access)

  for (const path of ['/auth/logout/all', '/auth/sessions/s1']) {
    const method = path === '/auth/logout/all' ? 'POST' : 'DELETE'
    await isRefused(
      t,
      'broken JSON',
      { ...json(path, `{"x":"${MARK}`), method, authorization },
      400,
      'AUTH_REQUEST_INVALID'
    )
    await isRefused(
      t,
      'a prototype',
      { ...json(path, '{"__proto__":{}}'), method, authorization },
      400,
      'AUTH_REQUEST_INVALID'
    )
    await isRefused(
      t,
      'a text',
      { path, method, type: 'text/plain', body: MARK, authorization },
      415,
      'FST_ERR_CTP_INVALID_MEDIA_TYPE'
    )
    await isRefused(
      t,
      'a megabyte',
      { ...json(path, ' '.repeat(MEGABYTE)), method, authorization },
      413,
      'FST_ERR_CTP_BODY_TOO_LARGE'
    )
  }

  t.equal((await send({ method: 'GET', path: '/auth/me', authorization })).status, 200)
})

t.test('HEAD asks for an access token as GET does', async t => {
  const { access } = await login()

  for (const path of ['/protected', '/auth/me', '/auth/sessions']) {
    const { status, headers } = await send({ method: 'HEAD', path })
    t.equal(status, 401, path)
    t.equal(headers['www-authenticate'], 'Bearer realm="auth"', path)
    t.equal((await send({ method: 'HEAD', path, authorization: bearer(access) })).status, 200, path)
  }
})

t.test('another method than POST finds no route, and the store is left alone', async t => {
  const { auth, send, storeCalls } = await listen(t)
  const { refresh_token: refresh, access_token: access } = await auth.login()
  storeCalls.length = 0
  const sound = {
    '/auth/login': { username: 'ann', password: PASSWORD },
    '/auth/refresh': { refresh_token: refresh },
    '/auth/logout': { refresh_token: refresh },
    '/auth/logout/all': {}
  }

  for (const method of ['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
    for (const [path, body] of Object.entries(sound)) {
      t.equal((await send({ ...json(path, body), method })).status, 404, `${method} ${path}`)
      const token = path === '/auth/logout/all' ? access : refresh as string
      t.equal(
        (await send({ method, path, authorization: bearer(token) })).status,
        404,
        `${method} ${path} with a bearer`
      )
    }
  }

  t.strictSame(storeCalls, [])
})

// With an app of its own, since Fastify itself logs every URL.
t.test('the query string is not read', async t => {
  const { auth, send, storeCalls } = await listen(t)
  const { access_token: access, refresh_token: refresh } = await auth.login()
  storeCalls.length = 0
  const query = new URLSearchParams({
    access_token: access,
    refresh_token: refresh as string,
    token: access,
    authorization: `Bearer ${access}`,
    username: 'ann',
    password: PASSWORD
  }).toString()

  for (const [method, path] of guarded) {
    const answer = await send({ method, path: `${path}?${query}` })
    t.equal(answer.status, 401, path)
    t.equal((JSON.parse(answer.body) as { code: string }).code, 'AUTH_ACCESS_MISSING', path)
  }

  for (
    const [path, status, code] of [
      ['/auth/login', 400, 'AUTH_REQUEST_INVALID'],
      ['/auth/refresh', 401, 'AUTH_REFRESH_MISSING'],
      ['/auth/logout', 401, 'AUTH_REFRESH_MISSING']
    ] as const
  ) {
    const answer = await send({ path: `${path}?${query}` })
    t.equal(answer.status, status, path)
    t.equal((JSON.parse(answer.body) as { code: string }).code, code, path)
    t.notOk([access, refresh as string, PASSWORD].some(text => answer.all.includes(text)), path)
  }

  t.strictSame(storeCalls, [])
})

t.test('the log tells of every request at level trace, and of no secret', async t => {
  const lines = log.map(line => JSON.parse(line) as { msg: string, level: number })
  t.ok(
    lines.filter(({ msg }) => msg === 'request completed').length >= requests,
    `of ${requests} requests`
  )
  t.equal(auth.app.log.level, 'trace')
  t.ok(requests > 500 && secrets.size > 100, `${secrets.size} secrets are looked for`)
  t.strictSame(leaksOf(log.join('')), [])
  t.strictSame(
    lines.filter(({ level }) => level >= 50).map(({ msg }) => msg),
    [],
    'and of no error of the server'
  )
})

t.test('whatever else an interceptor sends as bearer does not stand in the way of a refresh token', async t => {
  for (const token of ['null', 'undefined', MARK]) {
    const { refresh } = await login()
    const headers = { authorization: bearer(token) }
    t.equal(
      (await send({ ...json('/auth/refresh', { refresh_token: refresh }), ...headers })).status,
      200
    )
    t.equal(
      (await send({ ...json('/auth/logout', { refresh_token: refresh }), ...headers })).status,
      204
    )
    await isRefused(
      t,
      'after the logout',
      json('/auth/refresh', { refresh_token: refresh }),
      401,
      'AUTH_REFRESH_REVOKED'
    )
  }
})

t.test('a member of the body that is given twice is refused, and one in a nested value is not', async t => {
  const { refresh } = await login()
  const raw = (body: string): Sent => ({ ...json('/auth/refresh', {}), body })
  await isRefused(
    t,
    'twice',
    raw(`{"refresh_token":"${MARK}","refresh_token":"${refresh}"}`),
    400,
    'AUTH_REQUEST_INVALID'
  )
  await isRefused(
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

t.test('a username and an email of different users are refused', async t => {
  const body = { username: 'ann', email: 'bob', password: MARK }
  await isRefused(t, 'both', json('/auth/login', body), 400, 'AUTH_REQUEST_INVALID')
})
