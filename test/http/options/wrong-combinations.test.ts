// Options that are right each alone and wrong together, or of the wrong form: refused at start, by the name of the option and
// with the fix. And what a right set of options risks, which the log says once.

import Fastify from 'fastify'
import t from 'tap'
import { tokenAuth } from '../../../src/index.js'
import type { TokenAuthOptions } from '../../../src/index.js'
import { resolveOptions } from '../../../src/options/resolve.js'
import type { ResolvedOptions } from '../../../src/options/resolve.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { SECRET } from '../../helpers/app.js'

const users = { findByLogin: () => null, findById: () => null }
const required = { secret: SECRET, store: new MemoryStore(), users, sweep: false }
const inCookies = { refreshToken: { transport: 'cookie' } }

function resolve (given: object, mountedAt?: string): ResolvedOptions {
  return resolveOptions({ ...required, ...given } as TokenAuthOptions, mountedAt)
}

function messageOf (given: object, mountedAt?: string): string {
  try {
    resolve(given, mountedAt)
  } catch (error) {
    if (!(error instanceof TypeError)) {
      throw error
    }

    return error.message
  }

  return 'nothing is wrong'
}

/** What `cookie` would be refused for. */
function ofCookie (cookie: unknown, more: object = {}): string {
  return messageOf({ ...inCookies, cookie, ...more })
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

const wrong: ReadonlyArray<readonly [given: object, option: RegExp, fix: RegExp]> = [
  [
    { cookie: {} },
    /cookie is of use only/,
    /with refreshToken: \{ transport: "cookie" \} or "both"/
  ],
  [
    { cookie: { secure: true }, refreshToken: { transport: 'body' } },
    /cookie is of use only/,
    /transport: "cookie"/
  ],
  [{ cookie: {}, refreshToken: false }, /cookie is of use only/, /transport: "cookie"/],
  [{ cookie: null }, /cookie is of use only/, /transport: "cookie"/],
  ...['Cookie', 'header', '', 'none', true, ['cookie'], {}, null].map(transport =>
    [
      { refreshToken: { transport } },
      /refreshToken\.transport must be/,
      /"body", "cookie" or "both"/
    ] as const
  ),
  ...[true, 'lax', null, 7].map(cookie =>
    [{ ...inCookies, cookie }, /cookie must be/, /an object/] as const
  ),
  ...['domain', 'Path', 'httpOnly', 'maxAge', 'same_site', 'name'].map(member =>
    [
      { ...inCookies, cookie: { [member]: 'x' } },
      new RegExp(`cookie\\.${member} is no option`),
      /there are cookie\.path, cookie\.secure, cookie\.sameSite/
    ] as const
  ),
  ...['secure', 'accessToken', 'clearSiteData'].flatMap(member =>
    ['true', 0, null, {}].map(value =>
      [
        { ...inCookies, cookie: { [member]: value } },
        new RegExp(`cookie\\.${member} must be`),
        /true or false/
      ] as const
    )
  ),
  ...['Strict', 'NONE', '', true, null, ['lax'], 'toString'].map(sameSite =>
    [
      { ...inCookies, cookie: { sameSite } },
      /cookie\.sameSite must be/,
      /"strict", "lax" or "none"/
    ] as const
  ),
  [
    { ...inCookies, cookie: { sameSite: 'none', secure: false } },
    /cookie\.sameSite "none"/,
    /needs cookie\.secure/
  ],
  ...[
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
  ].map(path =>
    [{ ...inCookies, cookie: { path } }, /cookie\.path must/, /begin with "\/"/] as const
  ),
  ...noOrigins.map(origin =>
    [
      { ...inCookies, cookie: { origins: [origin] } },
      /cookie\.origins must hold/,
      /such as "https:\/\/app\.example\.org"/
    ] as const
  ),
  ...['https://app.example.org', new Set(['https://app.example.org']), {}, null, true, /x/].map(
    origins =>
      [
        { ...inCookies, cookie: { origins } },
        /cookie\.origins must be an array/,
        /such as \["https:\/\/app\.example\.org"\]/
      ] as const
  ),
  [
    { ...inCookies, cookie: { origins: ['https://app.example.org', 'https://app.example.org/'] } },
    /cookie\.origins/,
    /and not "https:\/\/app\.example\.org\/"/
  ],
  [{ rotation: false, refreshToken: { grace: '10s' } }, /refreshToken\.grace/, /take them away/],
  [{ rotation: false, refreshToken: { grace: 0 } }, /refreshToken\.grace/, /take them away/],
  [{ rotation: false, refreshToken: { confirmBy: 'access' } }, /confirmBy/, /take them away/],
  [
    { accessToken: { renewWithin: '8m' } },
    /accessToken\.renewWithin must be/,
    /from 1s to half of accessToken\.lifetime/
  ],
  [{ accessToken: { renewWithin: '15m' } }, /accessToken\.renewWithin must be/, /half/],
  [{ accessToken: { renewWithin: 0 } }, /accessToken\.renewWithin must be/, /from 1s/],
  [{ accessToken: { renewWithin: '999ms' } }, /accessToken\.renewWithin must be/, /from 1s/],
  [
    { accessToken: { renewWithin: '2h' } },
    /accessToken\.renewWithin must be/,
    /half of accessToken\.lifetime/
  ],
  ...['', 'soon', null, true, -1, NaN].map(renewWithin =>
    [
      { accessToken: { renewWithin } },
      /accessToken\.renewWithin must be/,
      /a number of seconds, or a text such as/
    ] as const
  ),
  [
    { refreshToken: false, accessToken: { renewWithin: '5m' } },
    /accessToken\.renewWithin needs/,
    /take away refreshToken: false/
  ],
  ...[null, true, 'false', 0].map(refreshToken =>
    [{ refreshToken }, /refreshToken must be/, /an object/] as const
  )
]

t.test('each of them is refused, by name and with the fix', async t => {
  for (const [given, option, fix] of wrong) {
    const message = messageOf(given)
    const about = JSON.stringify(given)
    t.match(message, /^fastify-token-auth: /, about)
    t.match(message, option, about)
    t.match(message, fix, about)
  }
})

t.test('cookies that are not Secure are refused in production, and only there', async t => {
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
    ofCookie({ secure: false }),
    /cookie\.secure must not be false where NODE_ENV is "production": serve https, also behind a proxy/
  )
  t.equal(ofCookie({}), 'nothing is wrong')

  for (const other of ['development', 'test', '']) {
    process.env.NODE_ENV = other
    t.equal(ofCookie({ secure: false }), 'nothing is wrong', other)
  }
})

t.test('a path must cover login, refresh and logout, as browsers understand it', async t => {
  const refused: ReadonlyArray<readonly [cookie: string, more: object, mountedAt?: string]> = [
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

  for (const [path, more, mountedAt] of refused) {
    const { prefix = '/auth' } = more as { prefix?: string }
    const message = ofCookieAt(path, more, mountedAt)
    t.match(message, /cookie\.path must cover the route (login|refresh|logout) \(/, path)
    t.ok(
      message.includes(`take it away, or set it to "${(mountedAt ?? '') + prefix || '/'}"`),
      message
    )
    t.equal(
      ofCookieAt((mountedAt ?? '') + prefix || '/', more, mountedAt),
      'nothing is wrong',
      'and the fix is one'
    )
  }

  const right: ReadonlyArray<readonly [cookie: string, more: object, mountedAt?: string]> = [
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

  for (const [path, more, mountedAt] of right) {
    t.equal(ofCookieAt(path, more, mountedAt), 'nothing is wrong', path)
  }
})

function ofCookieAt (path: string, more: object, mountedAt?: string): string {
  return messageOf({ ...inCookies, cookie: { path }, ...more }, mountedAt)
}

t.test('the prefix of the scope counts', async t => {
  const start = async (path: string): Promise<void> => {
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(async scope => {
      await scope.register(
        tokenAuth,
        { ...required, ...inCookies, cookie: { path } } as TokenAuthOptions
      )
    }, { prefix: '/api' })
    await app.ready()
  }

  await t.rejects(start('/auth'), {
    name: 'TypeError',
    message: /cookie\.path must cover the route login \(\/api\/auth\/login\).*"\/api\/auth"/
  })
  await t.resolves(start('/api/auth'))
})

const right: readonly object[] = [
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
  { accessToken: { renewWithin: '7.5m' } },
  { accessToken: { renewWithin: 1 } },
  { accessToken: { lifetime: '1d', renewWithin: '2h' } },
  { accessToken: { lifetime: 2, renewWithin: 1 } },
  { rotation: false, accessToken: { renewWithin: '5m' } },
  { refreshToken: false, accessToken: { lifetime: '60d' } },
  { refreshToken: false, accessToken: { lifetime: 5 } },
  {
    refreshToken: { transport: undefined, grace: undefined },
    cookie: undefined,
    rotation: undefined
  }
]

t.test('right ones are not refused', async t => {
  for (const given of right) {
    t.equal(messageOf(given), 'nothing is wrong', JSON.stringify(given))
  }
})

t.test('cookies are named by the registration, with the prefix that their attributes allow', async t => {
  const namesOf = (cookie: object, name = 'auth'): unknown[] => {
    const { refreshCookie, accessCookie } =
      resolve({ name, ...inCookies, cookie: { accessToken: true, ...cookie } }).transport
    return [refreshCookie?.name, accessCookie?.name]
  }

  t.strictSame(namesOf({}), ['__Host-auth-refresh', '__Host-auth-access'])
  t.strictSame(namesOf({ path: '/auth' }, 'staff'), [
    '__Secure-staff-refresh',
    '__Host-staff-access'
  ])
  t.strictSame(namesOf({ secure: false }), ['auth-refresh', 'auth-access'])
  t.equal(resolve(inCookies).transport.accessCookie, null)
})

async function warningsOf (given: object, starts = 1): Promise<string[]> {
  const lines: Array<{ level: number, msg: string, registration?: string }> = []
  const app = Fastify({
    logger: {
      level: 'info',
      stream: {
        write: (line: string) => {
          lines.push(JSON.parse(line))
        }
      }
    }
  })
  await app.register(tokenAuth, { ...required, ...given } as TokenAuthOptions)

  for (let i = 0; i < starts; i++) {
    await app.ready()
  }

  await app.inject({ url: '/auth/me' })
  await app.close()

  for (const { level, registration } of lines) {
    if (level >= 40) {
      t.strictSame([level, registration], [40, 'auth'])
    }
  }

  return lines.filter(({ level }) => level >= 40).map(({ msg }) => msg)
}

const risky: ReadonlyArray<readonly [given: object, ...risks: RegExp[]]> = [
  [{ rotation: false }, /^rotation is off: a refresh token that is stolen/],
  [{ accessToken: { lifetime: '3601s' } }, /^accessToken\.lifetime is more than an hour/],
  [{ ...inCookies, cookie: { secure: false } }, /^cookie\.secure is false/],
  [
    { rotation: false, accessToken: { lifetime: '1d' }, ...inCookies, cookie: { secure: false } },
    /^rotation/,
    /^accessToken/,
    /^cookie/
  ],
  [{ rotation: false, refreshToken: false }],
  [{ accessToken: { lifetime: '1h' } }],
  [{ ...inCookies, cookie: { accessToken: true, path: '/auth', sameSite: 'lax' } }],
  [{ accessToken: { renewWithin: '5m' } }],
  [{}]
]

t.test('a risk is said once, when the app starts; a set without one is silent', async t => {
  for (const [given, ...risks] of risky) {
    const said = await warningsOf(given, 2)
    t.equal(said.length, risks.length, JSON.stringify(given))
    t.match(said, risks)
  }
})
