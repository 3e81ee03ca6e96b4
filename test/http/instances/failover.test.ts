import t from 'tap'
import type { Test } from 'tap'
import type { TokenResponse, TokenStore } from '../../../src/index.js'
import type { Session } from '../../../src/domain/session.js'
import { createTestApp } from '../../helpers/app.js'
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
  const [first] = await store.list('u-ann', { now: app.clock(), limit: 9 }) as [Session]
  const rows = [first]

  for (let i = 0; i < times; i++) {
    app.clock.advance(MINUTE)
    tokens.push(await refreshOrThrow(app, tokens.at(-1) as TokenResponse))
    rows.push(await store.find(first.id) as Session)
  }

  app.events.length = 0
  return { app, sessionId: first.id, tokens, rows }
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
          sessionId,
          userId: 'u-ann',
          presented: generation,
          stored: generation - 1,
          healed: true
        })
        t.match(await store.find(sessionId), { generation, revokedAt: null })
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
        await assertRejected(t, app, stale, 'AUTH_REFRESH_REUSED')
        await assertRejected(t, app, next, 'AUTH_REFRESH_REVOKED')
        t.strictSame(takeEvents(app).map(event => event.name), ['revoke', 'reuse'])
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
      t.match(await store.find(sessionId), { generation: 3, revokedAt: null })
      app.clock.advance(MINUTE)
      await assertRejected(t, app, stale, 'AUTH_REFRESH_REUSED')
    })

    for (const ahead of [2, 4]) {
      await t.test(`a token ${ahead} ahead of its session is only rejected`, async t => {
        const { app, sessionId, tokens, rows } = await rotateTimes(t, store, 4)
        const [latest, row] = [tokens[4] as TokenResponse, rows[4 - ahead] as Session]
        await restoreRow(store, row)
        await assertRejected(t, app, latest, 'AUTH_REFRESH_INVALID')
        t.strictSame(takeEvents(app), [{
          name: 'store-rolled-back',
          at: app.clock(),
          sessionId,
          userId: 'u-ann',
          address: '127.0.0.1',
          userAgent: 'lightMyRequest',
          presented: 4,
          stored: 4 - ahead,
          healed: false
        }])
        t.strictSame(await store.find(sessionId), row, 'the row is unchanged')
        t.strictSame(await store.revocations({ at: 0, sessionId: '' }, 9), [])
        t.ok(
          await refreshOrThrow(app, tokens[4 - ahead] as TokenResponse),
          'the token of the row is still valid'
        )
      })
    }

    await t.test('a token ahead of a revoked or expired session does not restore it', async t => {
      for (
        const [change, code] of [
          [{ revokedAt: 1, revokedFor: 'logout' }, 'AUTH_REFRESH_REVOKED'],
          [{ expiresAt: 1 }, 'AUTH_REFRESH_EXPIRED']
        ] as const
      ) {
        const { app, sessionId, tokens, rows } = await rotateTimes(t, store, 2)
        const row = { ...rows[1] as Session, ...change }
        await restoreRow(store, row)
        await assertRejected(t, app, tokens[2] as TokenResponse, code)
        t.strictSame(await store.find(sessionId), row)
        t.strictSame(takeEvents(app), [])
      }
    })

    await t.test('a token of a lost session is rejected without another effect', async t => {
      const { app, sessionId, tokens } = await rotateTimes(t, store, 2)
      await clearStore(store)

      for (const token of tokens) {
        await assertRejected(t, app, token, 'AUTH_REFRESH_INVALID')
      }

      t.strictSame(takeEvents(app), [])
      t.equal(await store.find(sessionId), null)
      t.strictSame(await store.list('u-ann', { now: app.clock() - DAY, limit: 9 }), [])
      t.ok(await app.login(), 'the user can log in again')
    })
  })
}
