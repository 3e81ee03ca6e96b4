import type { FastifyServerOptions } from 'fastify'
import t from 'tap'
import type { Session } from '../../../src/index.js'
import { touchOf } from '../../../src/stores/conformance/harness.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { createTestApp, REALM } from '../../helpers/app.js'
import { createBreakableStore } from '../../helpers/broken-store.js'
import { MINUTE, SECOND } from '../../helpers/clock.js'
import { assertNotRenewed, getNewToken, open } from './renewal-app.js'

t.test('a failed renewal is logged with its session and cause', async t => {
  const { store, break: breakStore } = createBreakableStore(new MemoryStore())
  let log = ''
  const stream = {
    write: (line: string) => {
      log += line
    }
  }
  const { login, get, clock } = await open(t, {}, {
    store,
    fastify: { logger: { level: 'warn', stream } } as FastifyServerOptions
  })
  const { access_token: token } = await login()
  const { sessionId } = (await get('/protected', token)).json<{ sessionId: string }>()
  clock.advance(11 * MINUTE)
  breakStore('throws')
  assertNotRenewed(t, await get('/protected', token))
  const lines = log.trim().split('\n').map(line => JSON.parse(line) as Record<string, unknown>)
  t.match(lines.filter(({ msg }) => msg === 'failed to renew an access token'), [{
    sessionId,
    cause: { type: 'TokenAuthError', code: 'AUTH_STORE_UNAVAILABLE' }
  }])
})

for (const revocations of [false, {}] as const) {
  const about = revocations ? 'with another instance' : 'with one instance'

  t.test(`an access token of an outdated generation is not renewed: ${about}`, async t => {
    const store = new MemoryStore()
    const { login, get, clock, refresh } = await open(t, { revocations }, { store })
    const other = await createTestApp({ store, clock })
    t.teardown(() => other.app.close())
    const rotate = revocations ? other.refresh : refresh
    const { access_token: first, refresh_token: token } = await login()
    clock.advance(11 * MINUTE)
    t.type(getNewToken(await get('/protected', first)), 'string', 'current')
    clock.advance(SECOND)
    const { access_token: second, refresh_token: next } = (await rotate(token)).json()
    clock.advance(10 * SECOND - 1)
    t.type(getNewToken(await get('/protected', first)), 'string', 'previous, within grace')
    clock.advance(MINUTE)
    t.type(getNewToken(await get('/protected', first)), 'string', 'the successor is not used')
    t.equal((await get('/protected', second)).statusCode, 200)
    // The confirmation is written within a second.
    const [row] = await store.list(REALM, 'u-ann', { now: clock(), limit: 1 })
    await store.touch([touchOf(row as Session, { confirmedGeneration: 1 })])
    assertNotRenewed(t, await get('/protected', first), 200, 'previous, the successor is used')

    t.equal((await rotate(next)).statusCode, 200)
    assertNotRenewed(t, await get('/protected', first), 200, 'two generations old')
  })
}
