import t from 'tap'
import { issueAccessToken } from '../../src/tokens/access-token.js'
import type { AccessToken } from '../../src/tokens/access-token.js'
import {
  createSessionSecret,
  issueRefreshToken,
  readRefreshToken,
  REFRESH_TYP
} from '../../src/tokens/refresh-token.js'
import {
  accessClaims,
  codecs,
  createCodecs,
  createToken,
  header,
  NO_SCOPE,
  NOW,
  readAccessToken,
  START,
  unbound,
  withMember
} from './jwt-codec-setup.js'

const refreshClaims = { ...accessClaims, type: 'refresh', secret: createSessionSecret().secret }

const refreshCodecs = await createCodecs(REFRESH_TYP)

// JSON values that no claim of the type may have.
const INVALID_INTEGERS = [
  '"5"',
  '""',
  '1.5',
  '-1',
  '1e308',
  '1e999',
  '-1e999',
  '9007199254740993',
  'null',
  'true',
  '{}',
  '[]',
  '[5]',
  '"Infinity"',
  undefined
]

const INVALID_STRINGS = [
  '1',
  '0',
  '1.5',
  '""',
  'null',
  'true',
  '{}',
  '{"toString":"x"}',
  '[]',
  '["u-ann"]',
  undefined
]

t.test('an access token with a missing or malformed claim is rejected', async t => {
  const wrong = {
    sub: INVALID_STRINGS,
    sid: INVALID_STRINGS,
    gen: INVALID_INTEGERS,
    iat: INVALID_INTEGERS,
    exp: INVALID_INTEGERS,
    type: [...INVALID_STRINGS, '"refresh"', '"Access"', '"access "']
  }

  for (const [signer, codec] of Object.entries(codecs)) {
    t.not(
      readAccessToken(codec, createToken(header, accessClaims), NOW, NO_SCOPE),
      null,
      `${signer} signer: a sound one is read`
    )

    for (const [name, texts] of Object.entries(wrong)) {
      for (const text of texts) {
        const token = createToken(header, withMember(accessClaims, name, text))
        t.equal(
          readAccessToken(codec, token, NOW, NO_SCOPE),
          null,
          `${signer} signer: ${name} ${text ?? 'missing'}`
        )
      }
    }
  }
})

t.test('a refresh token with a missing or malformed claim is rejected', async t => {
  const { secret } = refreshClaims
  const invalidSecrets = [
    ...INVALID_STRINGS,
    JSON.stringify(secret.slice(1)),
    JSON.stringify(`${secret}A`),
    JSON.stringify(`${secret}=`),
    JSON.stringify(`${secret}\n`),
    JSON.stringify(`+${secret.slice(1)}`),
    JSON.stringify(`/${secret.slice(1)}`),
    JSON.stringify(` ${secret.slice(1)}`),
    JSON.stringify(`\0${secret.slice(1)}`),
    JSON.stringify([secret])
  ]
  const wrong = {
    sub: INVALID_STRINGS,
    sid: INVALID_STRINGS,
    gen: INVALID_INTEGERS,
    iat: INVALID_INTEGERS,
    exp: INVALID_INTEGERS,
    type: [...INVALID_STRINGS, '"access"', '"Refresh"', '"refresh "'],
    secret: invalidSecrets
  }
  const head = { ...header, typ: REFRESH_TYP }

  for (const [signer, codec] of Object.entries(refreshCodecs)) {
    t.match(readRefreshToken(codec, createToken(head, refreshClaims)), {
      userId: 'u-ann',
      sessionId: 's1',
      generation: 3
    })

    for (const [name, texts] of Object.entries(wrong)) {
      for (const text of texts) {
        const token = createToken(head, withMember(refreshClaims, name, text))
        t.equal(
          readRefreshToken(codec, token),
          null,
          `${signer} signer: ${name} ${text ?? 'missing'}`
        )
      }
    }
  }
})

t.test('access and refresh tokens are not interchangeable, even under one key', async t => {
  const subject = {
    userId: 'u-ann',
    sessionId: 's1',
    generation: 0,
    authenticatedAt: NOW,
    amr: [],
    ...unbound,
    claims: {}
  }
  const version = { generation: 0, issuedAt: NOW, expiresAt: NOW + 900_000 }
  const access =
    issueAccessToken(codecs.real, subject, { from: NOW, to: NOW + 900_000 }, NO_SCOPE).token
  const refresh = issueRefreshToken(refreshCodecs.real, {
    id: 's1',
    userId: 'u-ann',
    secret: refreshClaims.secret
  }, version)
  t.not(readAccessToken(codecs.real, access, NOW, NO_SCOPE), null)
  t.not(readRefreshToken(refreshCodecs.real, refresh), null)
  t.equal(readAccessToken(codecs.real, refresh, NOW, NO_SCOPE), null)
  t.equal(readRefreshToken(refreshCodecs.real, access), null)
  t.equal(
    readAccessToken(codecs.real, createToken(header, refreshClaims), NOW, NO_SCOPE),
    null,
    'the type of one, the claims of the other'
  )
  t.equal(
    readRefreshToken(
      refreshCodecs.real,
      createToken({ ...header, typ: REFRESH_TYP }, { ...refreshClaims, type: 'access' })
    ),
    null
  )
})

t.test('an access token from the future is rejected beyond the clock tolerance', async t => {
  const read = (claims: object): AccessToken | null =>
    readAccessToken(codecs.real, createToken(header, { ...accessClaims, ...claims }), NOW, NO_SCOPE)
  const year = 365 * 86_400
  t.not(read({ iat: START + 59, exp: START + 900 }), null, 'iat 59 s ahead')
  t.equal(read({ iat: START + 61, exp: START + 900 }), null, 'iat 61 s ahead')
  t.equal(read({ iat: START + year, exp: START + year + 900 }), null, 'iat a year ahead')
  t.not(read({ nbf: START }), null, 'nbf now')
  t.not(read({ nbf: START + 59 }), null, 'nbf 59 s ahead')
  t.equal(read({ nbf: START + 61 }), null, 'nbf 61 s ahead')
  t.equal(read({ nbf: START + year }), null, 'nbf a year ahead')

  for (const text of INVALID_INTEGERS.filter(text => text !== undefined)) {
    const token = createToken(header, withMember(accessClaims, 'nbf', text))
    t.equal(readAccessToken(codecs.lenient, token, NOW, NO_SCOPE), null, `nbf ${text}`)
  }
})

t.test('an expired access token is read with its expiry', async t => {
  const token = createToken(header, accessClaims)
  t.equal(readAccessToken(codecs.real, token, NOW + 86_400_000, NO_SCOPE)?.expiresAt, NOW + 900_000)
})

t.test('issuer and audience must match the configured ones', async t => {
  const both = { issuer: 'https://a.example', audience: 'api' }
  const sound = { ...accessClaims, iss: both.issuer, aud: both.audience }
  t.not(readAccessToken(codecs.real, createToken(header, sound), NOW, both), null)
  t.equal(
    readAccessToken(codecs.real, createToken(header, sound), NOW, NO_SCOPE),
    null,
    'both given, none configured'
  )

  const isRefused = (name: string, text: string | undefined): void => {
    const token = createToken(header, withMember(sound, name, text))

    for (const [signer, codec] of Object.entries(codecs)) {
      t.equal(
        readAccessToken(codec, token, NOW, both),
        null,
        `${signer} signer: ${name} ${text ?? 'missing'}`
      )
    }
  }

  for (
    const text of [
      ...INVALID_STRINGS,
      '"https://a.example/"',
      '"https://A.example"',
      '"https://a.example.evil.com"',
      '["https://a.example"]'
    ]
  ) {
    isRefused('iss', text)
  }

  for (const text of [...INVALID_STRINGS, '"API"', '"api2"', '"ap"', '["other"]', '{"api":true}']) {
    isRefused('aud', text)
  }
})
