// A store that has lost writes: a replica that was a step behind was promoted, or a backup was restored. Who lost one rotation
// stays signed in, who lost more is refused, and neither is taken for a thief.

import t from 'tap'
import type { Test } from 'tap'
import type { TokenResponse, TokenStore } from '../../../src/index.js'
import type { Session } from '../../../src/domain/session.js'
import { createTestApp } from '../../helpers/app.js'
import type { RecordedEvent, TestApp } from '../../helpers/app.js'
import { DAY, MINUTE, SECOND } from '../../helpers/clock.js'
import { databases } from '../../helpers/databases/index.js'

const GRACE = 10 * SECOND

/** An app and a session of ann that was rotated so often, with the token and the row of each generation. */
interface History {
  readonly app: TestApp
  readonly sessionId: string
  readonly tokens: readonly TokenResponse[]
  readonly rows: readonly Session[]
}

async function rotateTimes (t: Test, store: TokenStore, times: number): Promise<History> {
  const app = await createTestApp({ store, options: { refreshToken: { grace: GRACE / SECOND } } })
  t.teardown(() => app.app.close())
  await lose(store)
  const tokens = [await app.login()]
  const [first] = await store.list('u-ann', { now: app.clock(), limit: 9 }) as [Session]
  const rows = [first]

  for (let i = 0; i < times; i++) {
    app.clock.advance(MINUTE)
    tokens.push(await refreshed(app, tokens.at(-1) as TokenResponse))
    rows.push(await store.find(first.id) as Session)
  }

  app.events.length = 0
  return { app, sessionId: first.id, tokens, rows }
}

/** Nothing is left in the store. */
async function lose (store: TokenStore): Promise<void> {
  await store.sweep({ endedBefore: Date.UTC(2100), limit: 10_000 })
}

/** The row is as it was. */
async function fallBack (store: TokenStore, row: Session): Promise<void> {
  await lose(store)
  await store.create(row)
}

async function refreshed (
  app: TestApp,
  { refresh_token: token }: TokenResponse
): Promise<TokenResponse> {
  const response = await app.refresh(token)

  if (response.statusCode !== 200) {
    throw new Error(`refused: ${response.body}`)
  }

  return response.json<TokenResponse>()
}

async function refused (
  t: Test,
  app: TestApp,
  { refresh_token: token }: TokenResponse,
  code: string
): Promise<void> {
  const response = await app.refresh(token)
  t.equal(response.statusCode, 401)
  t.equal(response.json().code, code)
}

/** What was told since the last time. */
function told ({ events }: TestApp): RecordedEvent[] {
  return events.splice(0)
}

for (const [name, { open, skip = false }] of Object.entries(databases)) {
  t.test(name, { skip }, async t => {
    const { store } = await open(t)

    for (const generation of [1, 2, 5]) {
      await t.test(`generation ${generation} at a row of the one before is healed`, async t => {
        const { app, sessionId, tokens, rows } = await rotateTimes(t, store, generation)
        const [stale, latest] = tokens.slice(-2) as [TokenResponse, TokenResponse]
        await fallBack(store, rows[generation - 1] as Session)

        const healed = await refreshed(app, latest)
        const { at, address, userAgent, ...facts } = told(app)[0] as RecordedEvent & {
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
          (await refreshed(app, stale)).refresh_token,
          healed.refresh_token,
          'another tab gets the same'
        )
        t.equal(
          (await refreshed(app, latest)).refresh_token,
          healed.refresh_token,
          'and so does a retry'
        )
        t.strictSame(told(app).map(event => event.name), ['replay', 'refresh'])

        app.clock.advance(GRACE)
        const next = await refreshed(app, healed)
        t.match(told(app), [{ name: 'refresh', generation: generation + 1, rotated: true }])
        t.not(next.refresh_token, healed.refresh_token)
        await refused(t, app, stale, 'AUTH_REFRESH_REUSED')
        await refused(t, app, next, 'AUTH_REFRESH_REVOKED')
        t.strictSame(told(app).map(event => event.name), ['revoke', 'reuse'])
      })
    }

    await t.test('a row that was rotated this moment is healed too, by many at once', async t => {
      const { app, sessionId, tokens, rows } = await rotateTimes(t, store, 3)
      const [stale, latest] = tokens.slice(-2) as [TokenResponse, TokenResponse]
      await fallBack(store, { ...rows[2] as Session, rotatedAt: app.clock() })
      const answers = await Promise.all(Array.from({ length: 8 }, () => refreshed(app, latest)))
      t.equal(new Set(answers.map(answer => answer.refresh_token)).size, 1)
      t.match(await store.find(sessionId), { generation: 3, revokedAt: null })
      app.clock.advance(MINUTE)
      await refused(t, app, stale, 'AUTH_REFRESH_REUSED')
    })

    for (const ahead of [2, 4]) {
      await t.test(`${ahead} ahead of the row is refused, and nothing else happens`, async t => {
        const { app, sessionId, tokens, rows } = await rotateTimes(t, store, 4)
        const [latest, row] = [tokens[4] as TokenResponse, rows[4 - ahead] as Session]
        await fallBack(store, row)
        await refused(t, app, latest, 'AUTH_REFRESH_INVALID')
        t.strictSame(told(app), [{
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
        t.strictSame(await store.find(sessionId), row, 'the row is as it was')
        t.strictSame(await store.revocations({ at: 0, sessionId: '' }, 9), [])
        t.ok(
          await refreshed(app, tokens[4 - ahead] as TokenResponse),
          'who holds the token of the row goes on'
        )
      })
    }

    await t.test('one ahead of a row that is revoked, or has ended, is not healed', async t => {
      for (
        const [change, code] of [
          [{ revokedAt: 1, revokedFor: 'logout' }, 'AUTH_REFRESH_REVOKED'],
          [{ expiresAt: 1 }, 'AUTH_REFRESH_EXPIRED']
        ] as const
      ) {
        const { app, sessionId, tokens, rows } = await rotateTimes(t, store, 2)
        const row = { ...rows[1] as Session, ...change }
        await fallBack(store, row)
        await refused(t, app, tokens[2] as TokenResponse, code)
        t.strictSame(await store.find(sessionId), row)
        t.strictSame(told(app), [])
      }
    })

    await t.test('a row that is lost: each of its tokens is refused, and nothing else happens', async t => {
      const { app, sessionId, tokens } = await rotateTimes(t, store, 2)
      await lose(store)

      for (const token of tokens) {
        await refused(t, app, token, 'AUTH_REFRESH_INVALID')
      }

      t.strictSame(told(app), [])
      t.equal(await store.find(sessionId), null)
      t.strictSame(await store.list('u-ann', { now: app.clock() - DAY, limit: 9 }), [])
      t.ok(await app.login(), 'its user may log in again')
    })
  })
}
