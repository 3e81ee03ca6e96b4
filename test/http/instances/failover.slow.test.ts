import t from 'tap'
import type { Test } from 'tap'
import type { TokenResponse, TokenStore } from '../../../src/index.js'
import type { Session } from '../../../src/domain/session.js'
import { createTestApp, REALM } from '../../helpers/app.js'
import type { RecordedEvent, TestApp } from '../../helpers/app.js'
import { DAY, MINUTE, SECOND } from '../../helpers/clock.js'
import { databases } from '../../helpers/databases/index.js'

const GRACE = 10 * SECOND

/** App with a session of ann, and the token and row of each of its generations. */
interface History {
  readonly app: TestApp
  readonly sessionId: string
  readonly tokens: readonly TokenResponse[]
  readonly rows: readonly Session[]
}

async function rotateTimes (t: Test, store: TokenStore, times: number): Promise<History> {
  const app = await createTestApp({ store, options: { refreshToken: { grace: GRACE / SECOND } } })
  t.teardown(() => app.app.close())
  await clearStore(store)
  const tokens = [await app.login()]
  const [first] = await store.list(REALM, 'u-ann', { now: app.clock(), limit: 9 }) as [Session]
  const rows = [first]

  for (let i = 0; i < times; i++) {
    app.clock.advance(MINUTE)
    tokens.push(await refreshOrThrow(app, tokens.at(-1) as TokenResponse))
    rows.push(await store.find(REALM, first.id) as Session)
  }

  app.events.length = 0
  return { app, sessionId: first.id, tokens, rows }
}

/** Starts a second instance on the store of an app. */
async function startBeside (t: Test, { store, clock }: TestApp): Promise<TestApp> {
  const beside = await createTestApp({
    store,
    clock,
    options: { refreshToken: { grace: GRACE / SECOND } }
  })
  t.teardown(() => beside.app.close())
  return beside
}

/** Deletes everything in the store. */
async function clearStore (store: TokenStore): Promise<void> {
  await store.sweep({ endedBefore: Date.UTC(2100), limit: 10_000 })
}

/** Restores an earlier row. */
async function restoreRow (store: TokenStore, row: Session): Promise<void> {
  await clearStore(store)
  await store.create(row)
}

async function refreshOrThrow (
  app: TestApp,
  { refresh_token: token }: TokenResponse
): Promise<TokenResponse> {
  const response = await app.refresh(token)

  if (response.statusCode !== 200) {
    throw new Error(`refresh failed: ${response.body}`)
  }

  return response.json<TokenResponse>()
}

async function assertRejected (
  t: Test,
  app: TestApp,
  { refresh_token: token }: TokenResponse,
  code: string
): Promise<void> {
  const response = await app.refresh(token)
  t.equal(response.statusCode, 401)
  t.equal(response.json().code, code)
}

/** Returns the events since the last call. */
function takeEvents ({ events }: TestApp): RecordedEvent[] {
  return events.splice(0)
}

for (const [name, { open, skip = false }] of Object.entries(databases)) {
  t.test(name, { skip }, async t => {
    const { store } = await open(t)

    for (const generation of [1, 2, 5]) {
      await t.test(`generation ${generation} restores a session that lost a rotation`, async t => {
        const { app, sessionId, tokens, rows } = await rotateTimes(t, store, generation)
        const [stale, latest] = tokens.slice(-2) as [TokenResponse, TokenResponse]
        await restoreRow(store, rows[generation - 1] as Session)

        const healed = await refreshOrThrow(app, latest)
        const { at, address, userAgent, ...facts } = takeEvents(app)[0] as RecordedEvent & {
          name: 'store-rolled-back'
        }
        t.strictSame(facts, {
          name: 'store-rolled-back',
          realm: REALM,
          actor: 'client',
          sessionId,
          userId: 'u-ann',
          presented: generation,
          stored: generation - 1
        })
        t.match(await store.find(REALM, sessionId), { generation, revokedAt: null })
        t.equal((await app.get('/protected', healed.access_token)).statusCode, 200)

        t.equal(
          (await refreshOrThrow(app, stale)).refresh_token,
          healed.refresh_token,
          'another tab gets the same token'
        )
        t.equal(
          (await refreshOrThrow(app, latest)).refresh_token,
          healed.refresh_token,
          'a retry gets the same token'
        )
        t.strictSame(takeEvents(app).map(event => event.name), ['replay', 'refresh'])

        app.clock.advance(GRACE)
        const next = await refreshOrThrow(app, healed)
        t.match(takeEvents(app), [{ name: 'refresh', generation: generation + 1, rotated: true }])
        t.not(next.refresh_token, healed.refresh_token)
        app.clock.advance(1)
        await assertRejected(t, app, stale, 'AUTH_REFRESH_REUSED')
        await assertRejected(t, app, next, 'AUTH_REFRESH_REVOKED')
        t.strictSame(takeEvents(app).map(event => event.name), ['session-ended', 'reuse'])
      })
    }

    await t.test('concurrent refreshes restore a session that rotated meanwhile', async t => {
      const { app, sessionId, tokens, rows } = await rotateTimes(t, store, 3)
      const [stale, latest] = tokens.slice(-2) as [TokenResponse, TokenResponse]
      await restoreRow(store, { ...rows[2] as Session, rotatedAt: app.clock() })
      const responses = await Promise.all(
        Array.from({ length: 8 }, () => refreshOrThrow(app, latest))
      )
      t.equal(new Set(responses.map(response => response.refresh_token)).size, 1)
      t.match(await store.find(REALM, sessionId), { generation: 3, revokedAt: null })
      app.clock.advance(MINUTE)
      await assertRejected(t, app, stale, 'AUTH_REFRESH_REUSED')
    })

    for (const lost of [2, 50]) {
      await t.test(`the latest token restores a session that lost ${lost} rotations`, async t => {
        const { app, sessionId, tokens, rows } = await rotateTimes(t, store, lost)
        const latest = tokens.at(-1) as TokenResponse
        const { graceFrom, expiresAt } = rows.at(-1) as Session
        const other = await startBeside(t, app)
        await restoreRow(store, rows[0] as Session)

        const healed = await refreshOrThrow(app, latest)
        t.match(takeEvents(app), [
          { name: 'store-rolled-back', realm: REALM, sessionId, presented: lost, stored: 0 },
          { name: 'refresh', generation: lost, rotated: false }
        ])
        t.match(await store.find(REALM, sessionId), {
          generation: lost,
          confirmedGeneration: lost,
          expiresAt,
          graceFrom,
          revokedAt: null
        })
        t.equal((await other.get('/protected', healed.access_token)).statusCode, 200)
        t.equal((await refreshOrThrow(other, latest)).refresh_token, healed.refresh_token)

        app.clock.advance(GRACE)
        const next = await refreshOrThrow(other, healed)
        app.clock.advance(1)
        await assertRejected(t, app, tokens[lost - 2] as TokenResponse, 'AUTH_REFRESH_REUSED')
        await assertRejected(t, other, next, 'AUTH_REFRESH_REVOKED')
      })
    }

    await t.test('a copy that is older than a restored session is reuse', async t => {
      const { app, tokens, rows } = await rotateTimes(t, store, 3)
      const [older, latest] = tokens.slice(-2) as [TokenResponse, TokenResponse]
      const other = await startBeside(t, app)
      await restoreRow(store, rows[0] as Session)
      await refreshOrThrow(app, latest)
      app.clock.advance(GRACE)
      await assertRejected(t, other, older, 'AUTH_REFRESH_REUSED')
      await assertRejected(t, app, latest, 'AUTH_REFRESH_REVOKED')
    })

    await t.test('a token restores its session past the idle end of the row', async t => {
      const { app, sessionId, tokens, rows } = await rotateTimes(t, store, 1)
      app.clock.advance(5 * DAY)
      const latest = await refreshOrThrow(app, tokens[1] as TokenResponse)
      const { expiresAt } = await store.find(REALM, sessionId) as Session
      await restoreRow(store, rows[0] as Session)
      app.clock.advance(3 * DAY)
      await assertRejected(t, app, tokens[0] as TokenResponse, 'AUTH_REFRESH_EXPIRED')

      await refreshOrThrow(app, latest)
      t.match(await store.find(REALM, sessionId), { generation: 2, expiresAt })
      app.clock.set(expiresAt)
      await assertRejected(t, app, latest, 'AUTH_REFRESH_EXPIRED')
    })

    await t.test('a token that has expired does not restore its session', async t => {
      const { app, sessionId, tokens, rows } = await rotateTimes(t, store, 2)
      await restoreRow(store, rows[0] as Session)
      app.clock.advance(7 * DAY)
      await assertRejected(t, app, tokens[2] as TokenResponse, 'AUTH_REFRESH_EXPIRED')
      t.strictSame(await store.find(REALM, sessionId), rows[0])
      t.strictSame(takeEvents(app), [])
    })

    await t.test('no token restores a revoked session', async t => {
      const { app, sessionId, tokens, rows } = await rotateTimes(t, store, 2)
      const row: Session = { ...rows[1] as Session, revokedAt: 1, revokedFor: 'logout' }
      await restoreRow(store, row)
      await assertRejected(t, app, tokens[2] as TokenResponse, 'AUTH_REFRESH_REVOKED')
      t.strictSame(await store.find(REALM, sessionId), row)
      t.strictSame(takeEvents(app), [])
    })

    await t.test('no token restores a session past its absolute end', async t => {
      const { app, sessionId, tokens, rows } = await rotateTimes(t, store, 2)
      await restoreRow(store, { ...rows[1] as Session, expiresAt: 1, endsAt: 1 })
      await assertRejected(t, app, tokens[2] as TokenResponse, 'AUTH_REFRESH_EXPIRED')
      t.match(await store.find(REALM, sessionId), { expiresAt: 1, endsAt: 1 })
    })

    await t.test('a token of a lost session is rejected and reported', async t => {
      const { app, sessionId, tokens } = await rotateTimes(t, store, 2)
      await clearStore(store)

      for (const token of tokens) {
        await assertRejected(t, app, token, 'AUTH_REFRESH_INVALID')
      }

      t.strictSame(
        takeEvents(app),
        tokens.map(() => ({
          name: 'session-missing',
          realm: REALM,
          actor: 'client',
          at: app.clock(),
          sessionId,
          userId: 'u-ann',
          address: '127.0.0.1',
          userAgent: 'lightMyRequest'
        }))
      )
      t.equal(await store.find(REALM, sessionId), null)
      t.strictSame(await store.list(REALM, 'u-ann', { now: app.clock() - DAY, limit: 9 }), [])
      t.ok(await app.login(), 'the user can log in again')
    })
  })
}
