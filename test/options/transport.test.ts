import t from 'tap'
import { assertRejected, findError, resolve } from './resolve.js'
import type { Rejection } from './resolve.js'

const inCookies = { refreshToken: { transport: 'cookie' } }

function withCookie (cookie: unknown): object {
  return { ...inCookies, cookie }
}

const noOrigins = [
  'https://app.example.org/',
  'https://app.example.org/path',
  'https://app.example.org:443',
  'http://app.example.org:80',
  'https://APP.example.org',
  'HTTPS://app.example.org',
  '*',
  'https://*',
  'https://*.example.org',
  'null',
  '',
  'app.example.org',
  '//app.example.org',
  'https://',
  'https://user@app.example.org',
  'https://app.example.org?x',
  'https://app.example.org#x',
  'https://app.example.org ',
  ' https://app.example.org',
  'https://a.org,https://b.org',
  'https:app.example.org',
  'https://b\u00fccher.example',
  'https://app.example.org\\',
  'https://app.example.org:99999',
  'https://app.example.org:',
  'https://1',
  'capacitor://localhost/',
  'Capacitor://localhost',
  'file:///',
  'data:text/html',
  'https://exa mple.org',
  'https://example.org\n',
  null,
  undefined,
  7,
  {},
  ['https://app.example.org'],
  /example/,
  true
]

t.test('an invalid prefix is rejected', async t => {
  const message = '"prefix" must be empty, or begin with "/" and not end with it, such as "/auth"'
  assertRejected(
    t,
    ['auth', '/auth/', '/', null, ['/auth']].map(prefix => [{ prefix }, message] as const)
  )
  t.equal(resolve({ prefix: '' }).prefix, '')
  t.equal(resolve({ prefix: '/api/v1/auth' }).prefix, '/api/v1/auth')
})

t.test('an invalid path of a route is rejected', async t => {
  const parameter = '"routes.session" must contain the parameter ":id", such as "/sessions/:id"'
  assertRejected(t, [
    ...['login', true, null, undefined].map(login =>
      [
        { routes: { login } },
        '"routes.login" must be a path that begins with "/", or false'
      ] as const
    ),
    [{ routes: { me: null } }, '"routes.me" must be a path that begins with "/", or false'],
    [{ routes: { session: '/sessions/:key' } }, parameter],
    [{ routes: { session: '/sessions/:identity' } }, parameter]
  ])
  t.equal(resolve({ routes: { me: false } }).paths.me, false)
  t.equal(resolve({ routes: { session: '/devices/:id/' } }).paths.session, '/devices/:id/')
})

t.test('cookie options without a cookie transport are rejected', async t => {
  const message = '"cookie" requires "refreshToken.transport" to be "cookie" or "both"; set it, ' +
    'or remove "cookie"'
  assertRejected(t, [
    [{ cookie: { secure: true }, refreshToken: { transport: 'body' } }, message],
    [{ cookie: {}, refreshToken: false }, message]
  ])
})

t.test('invalid cookies of earlier settings are rejected', async t => {
  const previous = (value: unknown): object => withCookie({ previous: value })
  assertRejected(t, [
    [previous('x'), /"cookie\.previous" must be an array/],
    [previous([{}]), /"cookie\.previous\[0\]\.name" must be the complete name of a cookie/],
    [previous([{ name: 'a;b' }]), /previous\[0\]\.name" must be/],
    [previous([{ name: 'a', path: 'x' }]), /previous\[0\]\.path" must begin with "\/"/],
    [previous([{ name: 'a', domain: 'a; b' }]), /previous\[0\]\.domain" must be a host name/],
    [previous([{ name: 'a', age: 1 }]), /unknown option "cookie\.previous\[0\]\.age"/],
    [
      previous([{ name: 'a' }, { name: '__Host-auth-refresh' }]),
      /"cookie\.previous\[1\]" must not be a cookie that is still in use/
    ]
  ])
})

t.test('invalid cookie options are rejected', async t => {
  assertRejected(t, [
    ...[true, 'lax', null, 7].map(cookie =>
      [withCookie(cookie), /"cookie" must be an object$/] as const
    ),
    ...['domain', 'Path', 'httpOnly', 'maxAge', 'same_site', 'name'].map((name): Rejection => [
      withCookie({ [name]: 'x' }),
      `unknown option "cookie.${name}"; valid options: origins, accessToken, sameSite, path, secure`
    ]),
    ...['secure', 'accessToken', 'clearSiteData'].flatMap(name =>
      ['true', 0, null, {}].map((value): Rejection => [
        withCookie({ [name]: value }),
        `"cookie.${name}" must be true or false`
      ])
    ),
    ...['Strict', 'NONE', '', true, null, ['lax'], 'toString'].map((sameSite): Rejection => [
      withCookie({ sameSite }),
      '"cookie.sameSite" must be "strict", "lax" or "none"'
    ]),
    [
      withCookie({ sameSite: 'none', secure: false }),
      '"cookie.sameSite" must be "strict" or "lax" if "cookie.secure" is false'
    ]
  ])
})

t.test('an invalid path of the cookie is rejected', async t => {
  const paths = [
    '',
    'auth',
    '/a b',
    '/auth;',
    '/auth; Domain=evil.com',
    '/\u00e4',
    '/a,b',
    '/auth\r\nX: y',
    '/auth\n',
    'https://a/auth',
    null,
    7,
    ['/']
  ]
  assertRejected(
    t,
    paths.map(path => [withCookie({ path }), /"cookie\.path" must begin with "\/" and/] as const)
  )
})

t.test('a string that is not an origin is rejected', async t => {
  assertRejected(t, [
    ...noOrigins.map((origin): Rejection => [
      withCookie({ origins: [origin] }),
      '"cookie.origins[0]" must be an origin as browsers send it, such as "https://app.example.org"'
    ]),
    ...['https://app.example.org', new Set(['https://app.example.org']), {}, null, true, /x/].map(
      (origins): Rejection => [
        withCookie({ origins }),
        '"cookie.origins" must be an array, such as ["https://app.example.org"]'
      ]
    ),
    [
      withCookie({ origins: ['https://app.example.org', 'https://app.example.org/'] }),
      /"cookie\.origins\[1\]" must be .*, not "https:\/\/app\.example\.org\/"$/
    ]
  ])
})

t.test('insecure cookies are rejected in production only', async t => {
  const { NODE_ENV: before } = process.env
  t.teardown(() => {
    if (before === undefined) {
      delete process.env.NODE_ENV
    } else {
      process.env.NODE_ENV = before
    }
  })
  process.env.NODE_ENV = 'production'
  t.match(
    findError(withCookie({ secure: false })),
    '"cookie.secure" must be true if NODE_ENV is "production"; serve https, also behind a proxy'
  )
  t.equal(findError(withCookie({})), null)

  for (const other of ['development', 'test', '']) {
    process.env.NODE_ENV = other
    t.equal(findError(withCookie({ secure: false })), null, other)
  }
})

t.test('the cookie path must cover login, refresh and logout', async t => {
  const rejected: ReadonlyArray<readonly [cookie: string, more: object, mountedAt?: string]> = [
    ['/other', {}],
    ['/auth/refresh', {}],
    ['/aut', {}],
    ['/auth/', { prefix: '/authentic' }],
    ['/AUTH', {}],
    ['/auth', { prefix: '' }],
    ['/auth', {}, '/api'],
    ['/api/auth', {}],
    ['/auth', { prefix: '/v1/auth' }]
  ]

  for (const [path, more, mountedAt] of rejected) {
    const { prefix = '/auth' } = more as { prefix?: string }
    const message = findPathError(path, more, mountedAt)
    t.match(message, /"cookie\.path" must cover the route "(login|refresh|logout)" at "/, path)
    t.match(message, `"; remove it, or set it to "${(mountedAt ?? '') + prefix || '/'}"`)
    t.equal(
      findPathError((mountedAt ?? '') + prefix || '/', more, mountedAt),
      null,
      'the fix works'
    )
  }

  const accepted: ReadonlyArray<readonly [cookie: string, more: object, mountedAt?: string]> = [
    ['/', {}],
    ['/auth', {}],
    ['/auth/', {}],
    ['/', { prefix: '' }],
    ['/api', {}, '/api'],
    ['/api/auth', {}, '/api'],
    ['/auth/refresh', { routes: { login: '/refresh/login', logout: '/refresh/logout' } }],
    ['/auth/refresh', { routes: { login: false, logout: false } }],
    ['/auth/token', {
      routes: { login: '/token', refresh: '/token/refresh', logout: '/token/end' }
    }]
  ]

  for (const [path, more, mountedAt] of accepted) {
    t.equal(findPathError(path, more, mountedAt), null, path)
  }
})

function findPathError (path: string, more: object, mountedAt?: string): string | null {
  return findError({ ...inCookies, cookie: { path }, ...more }, mountedAt)
}

const accepted: readonly object[] = [
  {},
  inCookies,
  { refreshToken: { transport: 'both' } },
  { refreshToken: false },
  { rotation: false },
  { rotation: false, ...inCookies },
  { rotation: false, refreshToken: false },
  { ...inCookies, cookie: {} },
  ...['strict', 'lax', 'none'].map(sameSite => ({ ...inCookies, cookie: { sameSite } })),
  ...['strict', 'lax'].map(sameSite => ({ ...inCookies, cookie: { sameSite, secure: false } })),
  ...[
    'https://app.example.org',
    'http://localhost:5173',
    'https://app.example.org:8443',
    'http://[::1]:3000',
    'http://127.0.0.1',
    'https://xn--bcher-kva.example',
    'https://example.org.',
    'capacitor://localhost',
    'ionic://localhost',
    'tauri://localhost',
    'chrome-extension://abcdefghijklmnop',
    'app.custom-1+x://host'
  ].map(origin => ({ ...inCookies, cookie: { origins: [origin] } })),
  { ...inCookies, cookie: { origins: [] } },
  { cookie: {} },
  { accessToken: { renewWithin: '7.5m' } },
  { accessToken: { renewWithin: 1 } },
  { accessToken: { lifetime: '1d', renewWithin: '2h' } },
  { accessToken: { lifetime: 2, renewWithin: 1 } },
  { rotation: false, accessToken: { renewWithin: '5m' } },
  { refreshToken: false, accessToken: { lifetime: '1d' } },
  { refreshToken: false, accessToken: { lifetime: 5 } },
  {
    refreshToken: { transport: undefined, grace: undefined },
    cookie: undefined,
    rotation: undefined
  }
]

t.test('valid combinations are accepted', async t => {
  for (const given of accepted) {
    t.equal(findError(given), null, JSON.stringify(given))
  }
})

t.test('cookies have names and attributes that follow from the options', async t => {
  t.strictSame(
    resolve({ name: 'staff', ...withCookie({ path: '/', accessToken: true }) }).transport,
    {
      kind: 'cookie',
      refreshCookie: { name: 'staff-refresh', path: '/', secure: true, sameSite: 'strict' },
      accessCookie: { name: 'staff-access', path: '/', secure: true, sameSite: 'lax' },
      deviceCookie: { name: 'staff-device', path: '/', secure: true, sameSite: 'strict' },
      origins: new Set(),
      clearSiteData: false,
      previous: []
    }
  )
  const { refreshCookie, accessCookie } =
    resolve(withCookie({ path: '/auth', accessToken: true, sameSite: 'none' })).transport
  t.strictSame(refreshCookie, {
    name: 'auth-refresh',
    path: '/auth',
    secure: true,
    sameSite: 'none'
  })
  t.strictSame(accessCookie, { name: 'auth-access', path: '/', secure: true, sameSite: 'none' })
  t.equal(resolve(inCookies).transport.accessCookie, null)
  t.equal(resolve({ ...inCookies, throttle: false }).transport.deviceCookie, null)
})
