import t from 'tap'
import { createAuthClient } from '../../../src/client/index.js'
import type { AuthClientOptions } from '../../../src/client/index.js'
import { tokenAuth } from '../../../src/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { PASSWORD } from '../../helpers/app.js'
import { createLoggedApp, validOptions } from './logged-app.js'

/** Storage of a client, transport of the server, and the message that the developer sees. */
const mistakes = [
  ['cookie', 'body', /in JSON, which "storage: 'cookie'" would drop; set "storage", or "refreshTo/],
  ['memory', 'cookie', /in a cookie, .+ set "storage: 'cookie'", or "refreshToken\.transport" of/]
] as const

for (const [storage, transport, message] of mistakes) {
  t.test(`a client with storage "${storage}" at a server with "${transport}"`, async t => {
    const { app } = createLoggedApp()
    t.teardown(() => app.close())
    await app.register(tokenAuth, {
      ...validOptions,
      store: new MemoryStore(),
      refreshToken: { transport }
    })
    await app.listen({ host: '127.0.0.1', port: 0 })
    const { port } = app.server.address() as { readonly port: number }

    // Sends what a page of the server's own origin sends.
    const fetchFromPage: NonNullable<AuthClientOptions['fetch']> = (input, init = {}) => {
      const headers = new Headers(init.headers)
      headers.set('sec-fetch-site', 'same-origin')
      return fetch(input, { ...init, headers })
    }

    const client = createAuthClient({
      baseUrl: `http://127.0.0.1:${port}`,
      fetch: fetchFromPage,
      storage
    })
    t.teardown(() => {
      client.dispose()
    })
    await client.ready
    const login = client.login({ username: 'ann', password: PASSWORD })
    await t.rejects(login, { code: 'transport', message })
    t.equal(client.state.status, 'signed-out')

    // The client does not wait for the logout.
    for (let i = 0; i < 200 && (await app.tokenAuth.listSessions('1')).length > 0; i++) {
      await new Promise(resolve => setTimeout(resolve, 10))
    }

    t.strictSame(await app.tokenAuth.listSessions('1'), [], 'the session is revoked')
  })
}
