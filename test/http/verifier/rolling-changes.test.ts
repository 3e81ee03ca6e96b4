import t from 'tap'
import type { KeyInput, TokenAuthOptions } from '../../../src/index.js'
import { MINUTE } from '../../helpers/clock.js'
import {
  createEd25519Key,
  createSystemClock,
  JWKS,
  scope,
  startIssuer,
  startVerifier,
  until
} from './jwks-setup.js'

const next = { issuer: 'https://next.example', audience: 'next-api' }

t.test('an announced key is accepted from its first token on', async t => {
  const clock = createSystemClock(t)
  const [old, announced] = [createEd25519Key(), createEd25519Key()]
  const issuer = await startIssuer(t, clock, [old])
  const verifier = await startVerifier(t, issuer.base + JWKS, { clock })
  t.equal(await verifier.status((await issuer.login()).access_token), 200)
  issuer.app.tokenAuth.rotateKeys([old, announced])
  clock.advance(6 * MINUTE)
  t.equal(await verifier.status((await issuer.login()).access_token), 200)
  await until(() => issuer.hits.length === 2)
  issuer.app.tokenAuth.rotateKeys([announced, old])
  t.equal(await verifier.status((await issuer.login()).access_token), 200)
  t.equal(issuer.hits.length, 2, 'without another read')
})

t.test('a service accepts tokens of the keys that replace a secret', async t => {
  const clock = createSystemClock(t)
  const key = createEd25519Key()
  const issuer = await startIssuer(t, clock, ['secret' as KeyInput, key])
  const verifier = await startVerifier(t, issuer.base + JWKS, { clock })
  const { access_token: bySecret } = await issuer.login()
  t.equal(await verifier.status(bySecret), 401, 'the secret stays with the issuer')
  issuer.app.tokenAuth.rotateKeys([key, 'secret'])
  t.equal(await verifier.status((await issuer.login()).access_token), 200)
  t.equal((await issuer.get('/protected', bySecret)).statusCode, 200)
  issuer.app.tokenAuth.rotateKeys([key])
  t.equal((await issuer.get('/protected', bySecret)).statusCode, 401)
})

t.test('a service accepts every listed issuer and audience', async t => {
  const clock = createSystemClock(t)
  const keys = [createEd25519Key()] as const
  const issuers = [
    {},
    { issuer: [scope.issuer, next.issuer], audience: [scope.audience, next.audience] },
    { issuer: [next.issuer, scope.issuer], audience: [next.audience, scope.audience] },
    next
  ] satisfies Array<Partial<TokenAuthOptions>>
  const accepted = {
    issuer: [scope.issuer, next.issuer],
    audience: [scope.audience, next.audience]
  }

  for (const options of issuers) {
    const issuer = await startIssuer(t, clock, keys, options)
    const verifier = await startVerifier(t, issuer.base + JWKS, {
      clock,
      ...accepted as unknown as typeof next
    })
    t.equal(await verifier.status((await issuer.login()).access_token), 200)
  }

  const other = await startIssuer(t, clock, keys, { ...next, audience: 'other-api' })
  const verifier = await startVerifier(t, other.base + JWKS, {
    clock,
    ...accepted as unknown as typeof next
  })
  t.equal(await verifier.status((await other.login()).access_token), 401)
})
