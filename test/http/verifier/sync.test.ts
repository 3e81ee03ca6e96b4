import t from 'tap'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import type { TokenAuthEvents } from '../../../src/verifier/index.js'
import { REALM } from '../../helpers/app.js'
import { HOUR } from '../../helpers/clock.js'
import { toNote } from '../oauth/sync-setup.js'
import {
  createBody,
  signToken,
  startFakeIssuer,
  startIssuer,
  startVerifier,
  waitUntil
} from './sync-setup.js'

t.test('a logout at the issuer is known at the service within 1.5 s', async t => {
  const issuer = await startIssuer(t)
  const ended: Array<TokenAuthEvents['session-ended']> = []
  const { read } = await startVerifier(t, issuer.base, {
    on: { 'session-ended': event => ended.push(event) }
  })
  const [ann, bob, cyd] = [
    await issuer.login('ann'),
    await issuer.login('bob'),
    await issuer.login('cyd')
  ]

  for (const { access_token: token } of [ann, bob, cyd]) {
    t.equal(await read(token), 200)
  }

  await issuer.post('/auth/logout', { refresh_token: ann.refresh_token })
  await issuer.app.tokenAuth.revokeUser('u-bob')

  for (const { access_token: token } of [ann, bob]) {
    const took = await waitUntil(async () => await read(token) === 'AUTH_SESSION_REVOKED')
    t.ok(took < 1500, `${Math.round(took)} ms`)
  }

  t.equal(await read(cyd.access_token), 200)
  t.match(ended, [
    { sessionId: toNote(ann.access_token).sid, reason: 'logout', local: false, realm: 'auth' },
    { sessionId: null, userId: 'u-bob', reason: 'revoked', local: false }
  ])
})

t.test('the issuer confirms a generation that was used at the service only', async t => {
  const store = new MemoryStore()
  const issuer = await startIssuer(t, { store })
  const { read, app } = await startVerifier(t, issuer.base)
  const { access_token: token } = await issuer.login()
  const { sid } = toNote(token)
  const row = await store.find(REALM, sid)
  // A refresh within the grace period would not rotate.
  t.equal(row?.confirmedGeneration, 0)
  t.equal(await read(token), 200)
  const before = row?.lastUsedAt ?? 0
  await waitUntil(async () => ((await store.find(REALM, sid))?.lastUsedAt ?? 0) > before)
  await app.close()
})

t.test('an app that closes sends the notes that are left', async t => {
  const issuer = await startFakeIssuer(t)
  const { read, app } = await startVerifier(t, issuer.base)
  t.equal(await read(signToken('s1')), 200)
  await app.close()
  t.match(issuer.requests.at(-1)?.notes, [{ sid: 's1', gen: 0, seen: 'AAAAAAAAAAA' }])
})

t.test('a revocation from before the start is known before the first request', async t => {
  const issuer = await startIssuer(t)
  const { access_token: token, refresh_token: refreshToken } = await issuer.login()
  await issuer.post('/auth/logout', { refresh_token: refreshToken })
  let count = 0
  const { read } = await startVerifier(t, issuer.base, { on: { 'session-ended': () => count++ } })
  t.equal(await read(token), 'AUTH_SESSION_REVOKED')
  t.equal(count, 0, 'it is no news')
})

t.test('an app starts without its issuer and responds with 503 until it is there', async t => {
  const issuer = await startFakeIssuer(t)
  issuer.stop()
  const lines: string[] = []
  const { read, app } = await startVerifier(t, issuer.base, {}, {
    logger: { level: 'info', stream: { write: (line: string) => lines.push(line) } as never }
  })
  t.equal(await read(signToken('s1')), 'AUTH_STORE_UNAVAILABLE')
  t.equal((await app.inject('/protected')).statusCode, 401, 'no token')
  t.ok(lines.some(line => line.includes('the issuer is not available, requests get 503')))
  await issuer.restart()
  await waitUntil(async () => await read(signToken('s1')) === 200)
  t.ok(lines.some(line => line.includes('the issuer is available')))
  const log = lines.join('')
  t.match(log, /"cause":"TypeError ECONNREFUSED"/)
  t.notMatch(log, 'Zt5v')
})

t.test('the clock of the service does not matter', async t => {
  const issuer = await startFakeIssuer(t)
  const ahead = 3 * HOUR
  issuer.react = () => ({ body: createBody({ now: Date.now() + ahead }) })
  const skews: Array<TokenAuthEvents['clock-skew']> = []
  const { read } = await startVerifier(t, issuer.base, {
    on: { 'clock-skew': event => skews.push(event) }
  })
  const iat = Math.floor((Date.now() + ahead) / 1000)
  const times = { iat, auth_time: iat, exp: iat + 900 }
  t.equal(await read(signToken('s1', 0, times)), 200)
  t.equal(await read(signToken('s2')), 'AUTH_ACCESS_EXPIRED')
  t.match(skews, [{ source: 'instance', ahead: Number }])
})

t.test('events and errors are those of tokens that the service has seen', async t => {
  const issuer = await startFakeIssuer(t)
  const { read } = await startVerifier(t, issuer.base)
  t.equal(
    await read(signToken('s1', 0, { exp: 1_700_000_000, iat: 1_600_000_000 })),
    'AUTH_ACCESS_EXPIRED'
  )
  t.equal(await read('garbage'), 'AUTH_ACCESS_INVALID')
  t.equal(await read(signToken('s2', 0, { seen: undefined })), 200, 'a token of before')
  t.equal(await read(signToken('s3', 0, { seen: 7 })), 200)
  t.equal(await read(signToken('s4', 2)), 200)
  t.equal(await read(signToken('s4', 1)), 200)
  await waitUntil(() => issuer.requests.some(({ notes }) => notes.length > 0))
  t.strictSame(issuer.requests.flatMap(({ notes }) => notes), [
    { sid: 's4', gen: 2, seen: 'AAAAAAAAAAA' }
  ])
})
