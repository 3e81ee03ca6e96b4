import t from 'tap'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { REALM, SECRET } from '../../helpers/app.js'
import { createBreakableStore } from '../../helpers/broken-store.js'
import { createClock, MINUTE } from '../../helpers/clock.js'
import { basic, CLIENT_SECRET, createOAuthApp, decodeClaims } from './demo.js'
import { asOrders, createSyncApp, send, sync, toNote } from './sync-setup.js'

const OLD_SECRET = 'Bx7Nq2Vw9Lz4Kt6Mj1Rd8Hc3Gs5Fp0Ya'

async function getConfirmed (store: MemoryStore, sid: string): Promise<number | undefined> {
  return (await store.find(REALM, sid))?.confirmedGeneration
}

t.test('access tokens have the claim seen only if a client may sync', async t => {
  const [without, withSync] = [await createOAuthApp(t), await createSyncApp(t)]
  t.notOk('seen' in decodeClaims((await without.signIn(null)).access))
  t.match(decodeClaims((await withSync.signIn(null)).access), { seen: /^[\w-]{11}$/ })
  t.equal((await send(without, { cursor: null, notes: [] })).statusCode, 404)
})

t.test('the first response has the revocations that still matter', async t => {
  const store = new MemoryStore()
  const [app, other] = [
    await createSyncApp(t, { store }),
    await createSyncApp(t, { store, options: { name: 'other' } })
  ]
  const [ann, bob] = [await app.login('ann'), await app.login('bob')]
  const { access_token: token } = await other.login('cyd')
  await app.post('/auth/logout', { refresh_token: ann.refresh_token })
  await app.app.tokenAuth.revokeUser('u-bob')
  await other.app.inject({
    method: 'POST',
    url: '/auth/logout',
    headers: { authorization: `Bearer ${token}` }
  })
  const first = await sync(app)
  t.match(first, { complete: true, retention: 45 * MINUTE, ignored: 0, cursor: String })
  t.ok(Math.abs(first.now - Date.now()) < MINUTE, 'the time of the store')
  t.match(first.revocations, [
    { reason: 'logout', sid: toNote(ann.access_token).sid, sub: 'u-ann', at: Number },
    { reason: 'revoked', sub: 'u-bob', before: Number, at: Number }
  ])
  t.equal(first.revocations.length, 2, 'none of the other realm')
  t.strictSame((await sync(app, first.cursor)).revocations, [])
  await app.app.tokenAuth.revokeSession(toNote(bob.access_token).sid)
  await app.app.tokenAuth.revokeAll()
  const next = await sync(app, first.cursor)
  t.ok(next.revocations.some(entry => !('sub' in entry) && !('sid' in entry)), 'the whole realm')
})

t.test('a page has at most 256 revocations, and the next one continues', async t => {
  const app = await createSyncApp(t)

  for (let i = 0; i < 300; i++) {
    await app.app.tokenAuth.revokeUser(`u-${i}`)
  }

  const first = await sync(app)
  t.equal(first.complete, false)
  t.equal(first.revocations.length, 256)
  const second = await sync(app, first.cursor)
  t.equal(second.complete, true)
  t.equal(second.revocations.length, 44)
})

t.test('a note confirms its generation before the response is sent', async t => {
  const store = new MemoryStore()
  const app = await createSyncApp(t, { store })
  const { access_token: token, refresh_token: refreshToken } = await app.login()
  app.clock.advance(MINUTE)
  const { access_token: next } = (await app.refresh(refreshToken)).json()
  const note = toNote(next)
  t.equal(note.gen, 1)
  t.equal(await getConfirmed(store, note.sid), 0)
  t.equal((await sync(app, null, [toNote(token), note])).ignored, 0)
  t.equal(await getConfirmed(store, note.sid), 1)
})

t.test('a service confirms only tokens that it was shown', async t => {
  const store = new MemoryStore()
  const app = await createSyncApp(t, { store })
  const other = await createSyncApp(t, { store, options: { name: 'other' } })
  const [ann, bob] = [await app.login('ann'), await app.login('bob')]
  const [{ access_token: foreign }] = [await other.login('ann')]
  app.clock.advance(MINUTE)
  const { access_token: next } = (await app.refresh(ann.refresh_token)).json()
  const [shown, hidden] = [toNote(ann.access_token), toNote(next)]
  const lies = [
    { ...shown, gen: 1 },
    { ...shown, gen: 1e300 },
    { ...shown, sid: toNote(bob.access_token).sid, gen: 1 },
    { ...hidden, seen: shown.seen },
    { ...hidden, seen: '' },
    { ...hidden, seen: 'AAAAAAAAAAA' },
    { ...hidden, seen: hidden.seen.slice(1) },
    { ...hidden, seen: `${hidden.seen}AA` },
    { ...hidden, sid: '' },
    { ...hidden, sid: '\ud800' },
    toNote(foreign)
  ]
  t.equal((await sync(app, null, lies)).ignored, lies.length)

  for (const { sid } of [shown, toNote(bob.access_token)]) {
    t.equal(await getConfirmed(store, sid), 0)
  }

  t.match(app.events.filter(({ name }) => name === 'sync-ignored'), [
    { clientId: 'orders', count: lies.length, realm: 'auth', actor: 'client' }
  ], 'one event for the request')
  t.equal(app.events.some(({ name }) => name === 'session-ended'), false)
  t.equal((await app.refresh(ann.refresh_token)).statusCode, 200, 'no note revokes')
})

t.test('notes of a previous secret are accepted', async t => {
  const store = new MemoryStore()
  const clock = createClock()
  const old = await createSyncApp(t, { store, clock, options: { secret: OLD_SECRET } })
  const app = await createSyncApp(t, { store, clock, options: { secret: [SECRET, OLD_SECRET] } })
  const last = await createSyncApp(t, { store, clock })
  const note = toNote((await old.login()).access_token)
  t.equal((await sync(app, null, [note])).ignored, 0)
  t.equal((await sync(last, null, [note])).ignored, 1)
  t.equal((await sync(last, null, [toNote((await app.login()).access_token)])).ignored, 0)
})

t.test('with confirmBy refresh, notes confirm nothing', async t => {
  const store = new MemoryStore()
  const app = await createSyncApp(t, {
    store,
    options: { refreshToken: { confirmBy: 'refresh' } }
  })
  const { refresh_token: refreshToken } = await app.login()
  app.clock.advance(MINUTE)
  const note = toNote((await app.refresh(refreshToken)).json().access_token)
  t.equal((await sync(app, null, [note])).ignored, 0)
  t.equal(await getConfirmed(store, note.sid), 0)
})

t.test('only a client with sync and its secret may use the route', async t => {
  const app = await createSyncApp(t)
  const body = { cursor: null, notes: [] }
  const attempts = [
    {},
    basic('orders', CLIENT_SECRET.slice(1)),
    basic('stock', `${CLIENT_SECRET}-2`),
    basic('phone', ''),
    basic('nobody', CLIENT_SECRET),
    { authorization: `Bearer ${(await app.signIn(null)).access}` }
  ]

  for (const headers of attempts) {
    const response = await send(app, body, headers)
    t.equal(response.statusCode, 401)
    t.equal(response.json().code, 'AUTH_CLIENT_REJECTED')
    t.equal(response.headers['www-authenticate'], 'Basic realm="auth"')
    t.equal(response.headers['cache-control'], 'no-store')
  }

  const { message } = (await send(app, body, basic('stock', `${CLIENT_SECRET}-2`))).json()
  t.match(message, /needs sync: true/, 'says the fix')
  const inBody = { ...body, client_id: 'orders', client_secret: CLIENT_SECRET }
  t.equal((await send(app, inBody, {})).statusCode, 200)
  t.equal((await send(app, inBody)).statusCode, 400, 'two methods at once')
  t.equal((await send(app, body)).headers['cache-control'], 'no-store')
})

t.test('malformed bodies result in 400', async t => {
  const app = await createSyncApp(t)
  const note = { sid: 's', gen: 0, seen: 'x' }
  const bodies: unknown[] = [
    '',
    '[]',
    'null',
    '{',
    {},
    { cursor: null },
    { notes: [] },
    { cursor: 7, notes: [] },
    { cursor: 'x'.repeat(32_769), notes: [] },
    { cursor: null, notes: {} },
    { cursor: null, notes: [null] },
    { cursor: null, notes: [{ ...note, sid: 7 }] },
    { cursor: null, notes: [{ ...note, sid: 's'.repeat(256) }] },
    { cursor: null, notes: [{ ...note, gen: '0' }] },
    { cursor: null, notes: [{ ...note, gen: -1 }] },
    { cursor: null, notes: [{ ...note, gen: 0.5 }] },
    { cursor: null, notes: [{ ...note, seen: null }] },
    { cursor: null, notes: [{ sid: 's', gen: 0 }] },
    '{"cursor":null,"notes":[],"notes":[]}',
    { cursor: null, notes: [], client_id: 7 }
  ]

  for (const body of bodies) {
    const response = await send(app, body)
    t.match(response.json(), { statusCode: 400, code: 'AUTH_REQUEST_INVALID' }, `${body}`)
  }

  const fits = { cursor: null, notes: [], x: 'x'.repeat(65_500) }
  t.equal((await send(app, fits)).statusCode, 200, 'up to 64 kB')
  t.equal((await send(app, { ...fits, x: 'x'.repeat(65_536) })).statusCode, 413)
  t.equal((await app.app.inject({ url: '/auth/sync', headers: asOrders })).statusCode, 404)
})

t.test('a cursor of another store begins again at the window', async t => {
  const app = await createSyncApp(t)
  await app.app.tokenAuth.revokeUser('u-ann')

  for (const cursor of ['', 'x', '99999', '-1', '[[[[', '1;2;3;4;5', '\0']) {
    const { revocations, complete } = await sync(app, cursor)
    t.equal(complete, true)
    t.match(revocations, [{ sub: 'u-ann' }], JSON.stringify(cursor))
  }
})

t.test('a store that fails results in 503, and the notes are written later', async t => {
  for (const verb of ['revocations', 'touch'] as const) {
    const memory = new MemoryStore()
    const breakable = createBreakableStore(memory)
    const app = await createSyncApp(t, { store: breakable.store })
    const { refresh_token: refreshToken } = await app.login()
    app.clock.advance(MINUTE)
    const note = toNote((await app.refresh(refreshToken)).json().access_token)
    breakable.break('throws', [verb])
    const response = await send(app, { cursor: null, notes: [note] })
    t.match(response.json(), { statusCode: 503, code: 'AUTH_STORE_UNAVAILABLE' }, verb)
    t.equal(response.headers['retry-after'], '1')
    breakable.break(null)
    t.equal((await sync(app, null, [note])).ignored, 0)
    t.equal(await getConfirmed(memory, note.sid), 1, verb)
  }
})

t.test('the route can be moved and switched off', async t => {
  const moved = await createSyncApp(t, { options: { routes: { sync: '/services/sync' } } })
  const response = await moved.app.inject({
    method: 'POST',
    url: '/auth/services/sync',
    headers: asOrders,
    payload: { cursor: null, notes: [] }
  })
  t.equal(response.statusCode, 200)
  const off = await createSyncApp(t, { options: { routes: { sync: false } } })
  t.equal((await send(off, { cursor: null, notes: [] })).statusCode, 404)
})
