import t from 'tap'
import type { Test } from 'tap'
import type { TokenAuthOptions } from '../../../src/index.js'
import { createTestApp } from '../../helpers/app.js'
import type { TestApp } from '../../helpers/app.js'
import { createBreakableStore } from '../../helpers/broken-store.js'
import type { BreakableStore } from '../../helpers/broken-store.js'
import { createClock, MINUTE } from '../../helpers/clock.js'
import { localStores } from '../../helpers/stores.js'

const immediate: Partial<TokenAuthOptions> = { refreshToken: { confirmWrites: 'immediate' } }

interface Pair {
  readonly first: TestApp
  readonly second: TestApp
  readonly clock: ReturnType<typeof createClock>
  readonly connection: BreakableStore
  /** The first instance gets no further turn: none of its writes reaches the store. */
  freeze(): void
}

for (const [name, open] of Object.entries(localStores)) {
  t.test(name, async t => {
    async function start (t: Test, options: Partial<TokenAuthOptions>): Promise<Pair> {
      const clock = createClock()
      const { store, close } = await open()
      const connection = createBreakableStore(store)
      const first = await createTestApp({ store: connection.store, clock, options })
      const second = await createTestApp({ store, clock, options })
      t.teardown(async () => {
        connection.break(null)
        await Promise.all([first.app.close(), second.app.close()])
        await close?.()
      })

      const freeze = (): void => {
        connection.break('hangs')
      }

      return { first, second, clock, connection, freeze }
    }

    t.test('a confirmed token is reuse although the instance froze after its response', async t => {
      const { first, second, clock, freeze } = await start(t, immediate)
      const before = await first.login()
      const after = (await first.refresh(before.refresh_token)).json()
      t.equal((await first.get('/protected', after.access_token)).statusCode, 200)
      freeze()
      clock.advance(MINUTE)
      const replayed = await second.refresh(before.refresh_token)
      t.equal(replayed.json().code, 'AUTH_REFRESH_REUSED')
    })

    t.test('batched writes lose the note of an instance that freezes', async t => {
      const { first, second, clock, freeze } = await start(t, {})
      const before = await first.login()
      const after = (await first.refresh(before.refresh_token)).json()
      t.equal((await first.get('/protected', after.access_token)).statusCode, 200)
      freeze()
      clock.advance(MINUTE)
      t.equal((await second.refresh(before.refresh_token)).statusCode, 200)
    })

    t.test('a refresh token that was kept is confirmed before the response', async t => {
      const { first, second, clock, freeze } = await start(t, immediate)
      const before = await first.login()
      const after = (await first.refresh(before.refresh_token)).json()
      t.equal((await first.refresh(after.refresh_token)).json().refresh_token, after.refresh_token)
      freeze()
      clock.advance(MINUTE)
      const replayed = await second.refresh(before.refresh_token)
      t.equal(replayed.json().code, 'AUTH_REFRESH_REUSED')
    })

    t.test('a request whose note cannot be written gets 503 until it can', async t => {
      const { first, connection } = await start(t, immediate)
      const { access_token: token } = await first.login()
      connection.break('throws', ['touch'])

      for (const attempt of [1, 2]) {
        const response = await first.get('/protected', token)
        t.equal(response.statusCode, 503, `attempt ${attempt}`)
        t.equal(response.json().code, 'AUTH_STORE_UNAVAILABLE')
      }

      connection.break(null)
      t.equal((await first.get('/protected', token)).statusCode, 200)
      connection.break('throws', ['touch'])
      t.equal((await first.get('/protected', token)).statusCode, 200, 'written once')
    })

    t.test('a refresh without rotation writes its use before the response', async t => {
      const { first, second, clock, freeze } = await start(t, { ...immediate, rotation: false })
      const { refresh_token: token } = await first.login()
      clock.advance(MINUTE)
      const { access_token: access } = (await first.refresh(token)).json()
      freeze()
      const list = await second.get('/auth/sessions', access)
      t.equal(list.json().sessions[0].last_used_at, new Date(clock()).toISOString())
    })
  })
}
