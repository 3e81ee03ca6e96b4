import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { DAY, MINUTE } from '../../helpers/clock.js'
import { openSqliteStore } from '../../helpers/databases/sqlite.js'
import {
  ACCESS,
  asCookie,
  decodeClaims,
  logInWithCookies,
  open,
  own,
  REFRESH,
  withCookies
} from './cookie-app.js'

t.test('a token of one kind is rejected in the cookie of the other [10]', async t => {
  const test = await open(t, { options: withCookies })
  const { refresh, access } = await logInWithCookies(test)
  const swapped = { ...own, cookie: `${REFRESH}=${access}; ${ACCESS}=${refresh}` }
  t.equal(
    (await test.post('/auth/refresh', undefined, swapped)).json().code,
    'AUTH_REFRESH_INVALID'
  )

  for (const url of ['/protected', '/auth/me', '/auth/sessions']) {
    const response = await test.app.inject({ url, headers: swapped })
    t.strictSame([response.statusCode, response.json().code], [401, 'AUTH_ACCESS_INVALID'], url)
  }

  t.equal((await test.post('/auth/logout', undefined, swapped)).statusCode, 204)
  t.equal((await test.app.tokenAuth.listSessions('u-ann')).length, 1, 'the session is still valid')
})

t.test('the database contains no token, part of a token or secret [11]', async t => {
  const { store, file } = await openSqliteStore()
  t.teardown(() => {
    file.remove()
  })
  const test = await open(t, { store, options: withCookies })
  const issued = new Set<string>()
  const secrets = new Set<string>()

  const collect = (
    { access_token: access = '', refresh_token: refresh = '' }: {
      access_token?: string
      refresh_token?: string
    }
  ): string => {
    for (const token of [access, refresh]) {
      issued.add(token)
    }

    secrets.add(decodeClaims(refresh).secret as string)
    return refresh
  }

  for (let i = 0; i < 20; i++) {
    let token = collect(await test.login())

    for (let turn = 0; turn < 3; turn++) {
      test.clock.advance(MINUTE)
      token = collect((await test.refresh(token)).json())
    }

    if (i % 3 === 0) {
      await test.post('/auth/logout', { refresh_token: token })
    }
  }

  const { access, refresh } = await logInWithCookies(test)
  collect({ access_token: access, refresh_token: refresh })
  await test.app.close()
  const folder = dirname(file.path)
  const bytes = Buffer.concat(readdirSync(folder).map(name => readFileSync(join(folder, name))))
  t.equal(secrets.size, 21)
  t.ok(issued.size > 120)

  for (const token of issued) {
    t.match(token, /^[\x20-\x7e]{128,}$/)
    const [, payload = '', signature = ''] = token.split('.')
    const parts = [
      token,
      payload,
      signature,
      Buffer.from(payload, 'base64url'),
      Buffer.from(signature, 'base64url')
    ]
    t.notOk(parts.some(part => bytes.includes(part)))
  }

  for (const secret of secrets) {
    const raw = Buffer.from(secret, 'base64url')
    t.equal(raw.length * 8, 256)
    t.notOk(
      [secret, raw, raw.toString('hex'), raw.toString('base64')].some(form => bytes.includes(form))
    )
    t.ok(
      bytes.includes(createHash('sha256').update(secret).digest('base64url')),
      'its hash is there, so the search finds what is'
    )
  }
})

t.test('a token contains only the user id, and its expiry is enforced [64]', async t => {
  const email = 'ann@example.org'
  const test = await open(t, { options: withCookies })
  const ann = test.users.get('u-ann')

  if (ann) {
    ann.email = email
  }

  const { refresh, access, cookie } = await logInWithCookies(test, {
    ...asCookie,
    'user-agent': 'a browser of mine'
  })
  t.strictSame(Object.keys(decodeClaims(refresh)).sort(), [
    'amr',
    'exp',
    'gen',
    'iat',
    'secret',
    'sid',
    'sub',
    'type'
  ])
  t.strictSame(Object.keys(decodeClaims(access)).sort(), [
    'amr',
    'auth_time',
    'exp',
    'gen',
    'iat',
    'sid',
    'sub',
    'type'
  ])
  test.clock.advance(15 * MINUTE)
  t.equal(
    (await test.app.inject({ url: '/protected', headers: { cookie } })).json().code,
    'AUTH_ACCESS_EXPIRED'
  )
  test.clock.advance(7 * DAY)
  t.equal(
    (await test.post('/auth/refresh', undefined, { ...own, cookie })).json().code,
    'AUTH_REFRESH_EXPIRED'
  )
})
