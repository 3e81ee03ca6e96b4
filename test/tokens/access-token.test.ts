import t from 'tap'
import { findReservedClaim, issueAccessToken } from '../../src/tokens/access-token.js'
import type { AccessToken } from '../../src/tokens/access-token.js'
import type { Claims } from '../../src/tokens/claims.js'
import {
  accessClaims,
  codecs,
  createToken,
  header,
  NO_SCOPE,
  NOW,
  readAccessToken,
  splitToken,
  START,
  unbound,
  withMember
} from './jwt-codec-setup.js'

t.test('an issued access token is read back unchanged', async t => {
  const scope = { issuer: 'https://a.example', audience: 'api' }
  const subject = {
    userId: 'u-ann',
    sessionId: 's1',
    generation: 2,
    authenticatedAt: NOW,
    amr: ['pwd'],
    ...unbound,
    claims: { role: 'admin', groups: ['a'] }
  }
  const { token, expiresIn } = issueAccessToken(codecs.real, subject, {
    from: NOW + 999,
    to: NOW + 60_500
  }, scope)
  t.equal(expiresIn, 60)
  t.strictSame(readAccessToken(codecs.real, token, NOW, scope), {
    ...subject,
    loginAmr: ['pwd'],
    persistent: false,
    expiresAt: NOW + 60_000
  })
  t.strictSame(JSON.parse(Buffer.from(splitToken(token)[0], 'base64url').toString()), header)
})

t.test('reserved claims are not claims of the app', async t => {
  const own = {
    ...accessClaims,
    jti: 'x',
    cnf: { jkt: 'k' },
    client_id: 'c',
    auth_time: 1,
    amr: [],
    acr: 'x',
    seen: 'x',
    nbf: START
  }
  const read = readAccessToken(codecs.real, createToken(header, { ...own, role: 'user' }), NOW, {
    ...NO_SCOPE,
    firstParty: 'auth'
  })
  t.strictSame(read?.claims, { role: 'user' })
  t.ok(Object.isFrozen(read?.claims))

  for (const name of [...Object.keys(own), 'iss', 'aud', '__proto__']) {
    t.equal(findReservedClaim(JSON.parse(`{"role":"user","${name}":1}`)), name)
  }

  t.equal(findReservedClaim({ role: 'user', groups: [] }), undefined)
})

t.test('a token contains only claims with a value, and those of the app first', async t => {
  const { token } = issueAccessToken(
    codecs.real,
    {
      userId: 'u-ann',
      sessionId: 's1',
      generation: 0,
      authenticatedAt: NOW + 5_000,
      amr: [],
      ...unbound,
      claims: { role: null, sub: 'u-eve' }
    },
    { from: NOW, to: NOW + 60_000 },
    NO_SCOPE
  )
  const payload = Buffer.from(splitToken(token)[1], 'base64url').toString()
  const iat = Math.floor(NOW / 1000)
  t.equal(
    payload,
    `{"role":null,"sub":"u-ann","sid":"s1","gen":0,"type":"access","auth_time":${iat},` +
      `"iat":${iat},"exp":${iat + 60}}`
  )
})

t.test('a known sender constraint is read, an unknown one rejects the token', async t => {
  const read = (claims: object, firstParty?: string): AccessToken | null =>
    readAccessToken(codecs.real, createToken(header, { ...accessClaims, ...claims }), NOW, {
      ...NO_SCOPE,
      firstParty
    })
  t.match(read({ cnf: { jkt: 'k' } }), { thumbprint: 'k', clientId: null })
  t.match(read({ client_id: 'c' }, 'auth'), { thumbprint: null, clientId: 'c' })
  t.match(read({ client_id: 'auth' }, 'auth'), unbound)
  t.equal(read({ client_id: 'c' }), null, 'no clients are configured')
  t.match(read({}, 'auth'), unbound, 'issued before clients were configured')

  for (
    const cnf of [{}, 'k', [], { jkt: '' }, { jkt: 1 }, { jkt: 'k', 'x5t#S256': 'x' }, {
      'x5t#S256': 'x'
    }, true]
  ) {
    t.equal(read({ cnf }), null, JSON.stringify(cnf))
  }

  for (const clientId of ['', 1, {}, ['c'], true]) {
    t.equal(read({ client_id: clientId }, 'auth'), null, JSON.stringify(clientId))
  }
})

t.test('a __proto__ claim adds nothing to the claims', async t => {
  for (const codec of Object.values(codecs)) {
    const read = readAccessToken(
      codec,
      createToken(header, withMember(accessClaims, '__proto__', '{"role":"admin"}')),
      NOW,
      NO_SCOPE
    )
    t.notOk((read?.claims as Claims | undefined)?.role)
    t.notOk(({} as Claims).role)
  }
})
