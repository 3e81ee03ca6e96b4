import type { FastifyServerOptions } from 'fastify'
import t from 'tap'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { createBreakableStore } from '../../helpers/broken-store.js'
import { MINUTE } from '../../helpers/clock.js'
import { assertNotRenewed, open } from './renewal-app.js'

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
    cause: 'TokenAuthError AUTH_STORE_UNAVAILABLE'
  }])
})
