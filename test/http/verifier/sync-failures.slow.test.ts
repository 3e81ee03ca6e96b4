import t from 'tap'
import type { TokenAuthEvents } from '../../../src/verifier/index.js'
import {
  client,
  createBody,
  signToken,
  startFakeIssuer,
  startVerifier,
  waitUntil
} from './sync-setup.js'
import type { Reaction } from './sync-setup.js'

const garbage: Record<string, Reaction> = {
  'a dropped connection': 'down',
  'status 401': { status: 401, body: createBody() },
  'status 404': { status: 404, body: createBody() },
  'status 201': { status: 201, body: createBody() },
  'a redirect': { status: 307, headers: { location: 'http://127.0.0.1:9/' }, body: '' },
  'no JSON': { body: '<html>' },
  null: { body: 'null' },
  'a wrong time': { body: createBody({ now: '1' as never }) },
  'no cursor': { body: createBody({ cursor: null as never }) },
  'a long cursor': { body: createBody({ cursor: 'x'.repeat(32_769) }) },
  'no end': { body: createBody({ complete: 1 as never }) },
  'a wrong retention': { body: createBody({ retention: 1e12 }) },
  'no list': { body: createBody({ revocations: {} as never }) },
  'a malformed entry': { body: createBody({ revocations: [{ at: 1, sid: 7 }] }) },
  'an empty entry': { body: createBody({ revocations: [{}] }) },
  'a megabyte': { body: createBody({ x: 'x'.repeat(2 ** 20) } as object) }
}

t.test('a malformed response is no response', async t => {
  const issuer = await startFakeIssuer(t)

  for (const [name, reaction] of Object.entries(garbage)) {
    issuer.react = () => reaction
    const lines: string[] = []
    const { read, app } = await startVerifier(t, issuer.base, {}, {
      logger: { level: 'error', stream: { write: (line: string) => lines.push(line) } as never }
    })
    t.equal(await read(signToken('s1')), 'AUTH_STORE_UNAVAILABLE', name)
    t.match(lines[0], /"cause":"[^"]+".*failed to exchange revocations/, name)
    t.equal(lines[0]?.includes('sync: true'), /status 40[14]/.test(name), 'says the fix')
    t.notMatch(lines.join(''), client.clientSecret)
    await app.close()
  }
})

t.test('notes are sent again until the issuer has responded', async t => {
  const issuer = await startFakeIssuer(t)
  const { read } = await startVerifier(t, issuer.base)
  // The request arrives and its response is lost.
  issuer.react = () => 'down'
  t.equal(await read(signToken('s1')), 200)
  const sent = (): number => issuer.requests.filter(({ notes }) => notes.length > 0).length
  await waitUntil(() => sent() === 2)
  issuer.react = () => null
  await waitUntil(() => sent() === 3)
  const { length } = issuer.requests
  await waitUntil(() => issuer.requests.length > length)
  t.equal(sent(), 3, 'acknowledged')
  t.equal(
    new Set(issuer.requests.filter(({ notes }) => notes.length > 0).map(({ cursor }) => cursor))
      .size,
    1,
    'with the same cursor, so that no revocation is missed'
  )
})

t.test('while the issuer is down, tokens are accepted for failAfter', async t => {
  const issuer = await startFakeIssuer(t)
  const stalled: Array<TokenAuthEvents['revocations-stalled']> = []
  const on = { 'revocations-stalled': (event: typeof stalled[0]) => stalled.push(event) }
  const limited = await startVerifier(t, issuer.base, {
    timeout: '2s',
    sync: { failAfter: '2s' } as never
  })
  const unlimited = await startVerifier(t, issuer.base, { on })
  t.equal(await limited.read(signToken('s1')), 200)
  issuer.stop()
  await waitUntil(async () => await limited.read(signToken('s1')) === 'AUTH_STORE_UNAVAILABLE')
  t.equal(await unlimited.read(signToken('s1')), 200, 'without a limit')
  await waitUntil(() => stalled.length > 0)
  t.match(stalled, [{ since: Number, realm: 'auth' }])
  issuer.revocations.push({ at: Date.now(), reason: 'logout', sid: 's1', sub: 'u-ann' })
  await issuer.restart()
  await waitUntil(async () => await limited.read(signToken('s1')) === 'AUTH_SESSION_REVOKED')
  await waitUntil(async () => await limited.read(signToken('s2')) === 200)
})

t.test('all pages are read before the first token is accepted', async t => {
  const issuer = await startFakeIssuer(t)
  let page = 0

  issuer.react = () => {
    page++
    const entry = { at: Date.now(), reason: 'logout', sid: `s${page}`, sub: 'u-ann' }
    const members = { cursor: `c${page}`, complete: page >= 5, revocations: [entry] }
    return { body: createBody(members) }
  }

  const { read } = await startVerifier(t, issuer.base)

  for (const sid of ['s1', 's2', 's5']) {
    t.equal(await read(signToken(sid)), 'AUTH_SESSION_REVOKED')
  }

  t.strictSame(issuer.requests.slice(0, 5).map(({ cursor }) => cursor), [
    null,
    'c1',
    'c2',
    'c3',
    'c4'
  ])
})

t.test('a user and the whole realm are revoked by the start of their sessions', async t => {
  const issuer = await startFakeIssuer(t)
  const { read } = await startVerifier(t, issuer.base)
  const createId = (at: number): string => `s${at.toString(36).padStart(9, '0')}${'A'.repeat(22)}`
  const now = Date.now()
  const [old, kept, recent] = [createId(now - 5000), createId(now - 6000), createId(now + 5000)]
  issuer.revocations.push({
    at: now,
    reason: 'password-changed',
    sub: 'u-ann',
    before: now,
    keep: kept
  })
  await waitUntil(async () => await read(signToken(old)) === 'AUTH_SESSION_REVOKED')
  t.equal(await read(signToken(kept)), 200)
  t.equal(await read(signToken(recent)), 200)
  t.equal(await read(signToken(old, 0, { sub: 'u-bob' })), 200)
  issuer.revocations.push({ at: now, reason: 'revoked', before: now })
  await waitUntil(async () =>
    await read(signToken(old, 0, { sub: 'u-bob' })) === 'AUTH_SESSION_REVOKED'
  )
  t.equal(await read(signToken(recent)), 200)
})
