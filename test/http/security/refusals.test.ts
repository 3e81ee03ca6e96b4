import { createHmac } from 'node:crypto'
import t from 'tap'
import { deriveKey } from '../../../src/tokens/key-derivation.js'
import { SECRET } from '../../helpers/app.js'
import { DAY, MINUTE } from '../../helpers/clock.js'
import { decodeClaims, open, own, REFRESH, withCookies } from './cookie-app.js'
import type { Headers } from './cookie-app.js'
import { getCode, getComparable } from './routes.js'

interface Forged {
  readonly secret?: string
  readonly name?: string
  readonly header?: object
  readonly claims?: object
}

/** Signs a refresh token like the server, with the given changes. */
function forge (
  token: string,
  { secret = SECRET, name = 'auth', header = {}, claims = {} }: Forged
): string {
  const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const { id, key } = deriveKey(secret, name, 'refresh')
  const input = `${encode({ alg: 'HS256', typ: 'rt+jwt', kid: id, ...header })}.${
    encode({ ...decodeClaims(token), ...claims })
  }`
  return `${input}.${createHmac('sha256', key).update(input).digest('base64url')}`
}

t.test('a forged token reveals nothing about the session [6]', async t => {
  const test = await open(t, { options: withCookies })
  const elsewhere = await open(t, { options: withCookies })
  const sign = async (): Promise<string> => (await test.login()).refresh_token ?? ''
  const [live, ended, used, expired] = [await sign(), await sign(), await sign(), await sign()]
  const ofGone = (await test.login('bob')).refresh_token ?? ''
  const ofDisabled = (await test.login('cyd')).refresh_token ?? ''
  test.users.delete('u-bob')
  const cyd = test.users.get('u-cyd')

  if (cyd) {
    cyd.disabled = true
  }

  await test.post('/auth/logout', { refresh_token: ended })
  const rotated = (await test.refresh(used)).json().refresh_token
  test.clock.advance(MINUTE)
  await test.refresh(rotated)
  test.clock.advance(1)
  t.equal(getCode(await test.refresh(used)), 'AUTH_REFRESH_REUSED')

  const otherSecret = { secret: 'Z'.repeat(7) + 'another, as long as it has to be' }
  const guess = Buffer.alloc(32, 1).toString('base64url')
  const tokens: string[] = [
    'x',
    'null',
    '..',
    'a.b.c',
    'x'.repeat(8192),
    (await elsewhere.login()).refresh_token ?? ''
  ]

  for (const token of [live, ended, used, expired, ofGone, ofDisabled]) {
    const [head = '', payload = '', signature = ''] = token.split('.')
    tokens.push(
      `${head}.${payload}.`,
      `${head}.${payload}.${signature.slice(0, -4)}AAAA`,
      `${token}A`,
      token.slice(1),
      forge(token, otherSecret),
      forge(token, { name: 'shop' }),
      forge(token, { header: { alg: 'none' } }),
      forge(token, { header: { typ: 'at+jwt' } }),
      forge(token, { claims: { secret: guess } }),
      forge(token, { claims: { sid: 'none' } }),
      forge(token, { claims: { type: 'access' } }),
      forge(token, { claims: { sid: 'none', sub: 'nobody' } }),
      forge(token, { claims: { gen: -1 } }),
      forge(token, { claims: { exp: 'x' } })
    )
  }

  t.equal(
    getCode(await test.refresh(forge(ofDisabled, {}))),
    'AUTH_REFRESH_REVOKED',
    'what is forged is right but for what is wrong'
  )

  for (const late of [false, true]) {
    if (late) {
      test.clock.advance(40 * DAY)
    }

    const answers = new Set<string>()

    for (const token of tokens) {
      const ways: Array<readonly [object | undefined, Headers]> = [
        [{ refresh_token: token }, {}],
        [undefined, { authorization: `Bearer ${token}` }],
        [undefined, { ...own, cookie: `${REFRESH}=${token}` }]
      ]

      for (const [body, headers] of ways) {
        answers.add(JSON.stringify(getComparable(await test.post('/auth/refresh', body, headers))))
      }
    }

    t.equal(answers.size, 1, `${tokens.length} tokens, three ways, one answer`)
    t.match(JSON.parse([...answers][0] ?? ''), {
      statusCode: 401,
      body: /"code":"AUTH_REFRESH_INVALID"/,
      headers: { 'www-authenticate': /error="invalid_token"/, 'set-cookie': undefined }
    })

    if (!late) {
      t.equal(
        (await test.refresh(live)).statusCode,
        200,
        'and none of them has ended the session that it names'
      )
    }
  }
})

t.test('each cause of a rejection has exactly one response [6]', async t => {
  const test = await open(t)
  const getLogin = async (username: string): Promise<string> =>
    (await test.login(username)).refresh_token ?? ''
  const causes: Record<string, Array<() => Promise<string>>> = {
    AUTH_REFRESH_REVOKED: [
      async () => {
        const token = await getLogin('ann')
        await test.post('/auth/logout', { refresh_token: token })
        return token
      },
      async () => {
        const token = await getLogin('bob')
        await test.refresh(token)
        await test.app.tokenAuth.revokeUser('u-bob')
        return token
      },
      async () => {
        const token = await getLogin('ann')
        await test.app.tokenAuth.passwordChanged('u-ann')
        return token
      },
      async () => {
        const token = await getLogin('bob')
        test.users.delete('u-bob')
        test.clock.advance(2 * MINUTE)
        return token
      },
      async () => {
        const token = await getLogin('cyd')
        const cyd = test.users.get('u-cyd')

        if (cyd) {
          cyd.disabled = true
        }

        return token
      }
    ],
    AUTH_REFRESH_REUSED: [1, 2, 5].map(turns => async () => {
      const first = await getLogin('ann')
      let token = first

      for (let turn = 0; turn <= turns; turn++) {
        token = (await test.refresh(token)).json().refresh_token
        test.clock.advance(MINUTE)
      }

      return first
    }),
    AUTH_REFRESH_EXPIRED: [8, 100].map(days => async () => {
      const token = await getLogin('ann')
      test.clock.advance(days * DAY)
      return token
    })
  }

  for (const [code, makers] of Object.entries(causes)) {
    const answers = new Set<string>()

    for (const make of makers) {
      const response = await test.refresh(await make())
      t.equal(getCode(response), code)
      answers.add(JSON.stringify(getComparable(response)))
    }

    t.equal(answers.size, 1, code)
  }
})
