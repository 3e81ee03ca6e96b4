import Fastify from 'fastify'
import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import { tokenAuth } from '../../../src/index.js'
import type {
  RevocationSubscriber,
  TokenAuth,
  TokenAuthEvents,
  TokenResponse,
  TokenStore
} from '../../../src/index.js'
import { PASSWORD, PASSWORD_HASH, SECRET } from '../../helpers/app.js'
import { createClock, MINUTE, SECOND } from '../../helpers/clock.js'
import type { TestClock } from '../../helpers/clock.js'
import { localStores } from '../../helpers/stores.js'

const NAMES = ['staff', 'shop'] as const

type Name = (typeof NAMES)[number]

/** App with two registrations on one store. Both have the user `u-ann`. */
interface Instance {
  readonly app: FastifyInstance
  readonly clock: TestClock
  readonly events: Array<{ readonly name: string, readonly realm: string }>
  readonly auth: Readonly<Record<Name, TokenAuth>>
  call(
    method: 'GET' | 'POST' | 'DELETE',
    url: string,
    token?: string,
    body?: object
  ): Promise<LightMyRequestResponse>
  login(name: Name): Promise<TokenResponse>
  refresh(name: Name, token: string | undefined): Promise<LightMyRequestResponse>
  poll(): Promise<void>
}

async function start (t: Test, store: TokenStore, clock: TestClock): Promise<Instance> {
  const ann = { id: 'u-ann', username: 'ann', passwordHash: PASSWORD_HASH }
  const app = Fastify()
  t.teardown(() => app.close())
  const events: Array<{ name: string, realm: string }> = []
  const auth: Partial<Record<Name, TokenAuth>> = {}
  const polls: Array<() => void> = []

  const subscribe: RevocationSubscriber = poll => {
    polls.push(poll)

    return () => {}
  }

  for (const name of NAMES) {
    const record = (event: string) => ({ realm }: { readonly realm: string }): void => {
      events.push({ name: event, realm })
      t.equal(realm, name, `${event} names its own realm`)
    }

    const on = Object.fromEntries(
      ([
        'login',
        'login-rejected',
        'refresh',
        'replay',
        'recovery',
        'reuse',
        'session-ended',
        'session-missing',
        'store-rolled-back',
        'sweep'
      ] satisfies Array<keyof TokenAuthEvents>).map(event => [event, record(event)])
    )

    await app.register(async scope => {
      await scope.register(tokenAuth, {
        secret: SECRET,
        store,
        clock,
        sweep: false,
        maxSessions: 3,
        throttle: false,
        name,
        prefix: `/${name}`,
        users: { findByLogin: () => ann, findById: () => ann },
        revocations: { pollInterval: '60s', subscribe },
        on
      })
      auth[name] = scope.tokenAuth
    })
  }

  await app.ready()
  const call: Instance['call'] = async (method, url, token, body) =>
    app.inject({
      method,
      url,
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
      ...(body && { payload: body })
    })

  return {
    app,
    clock,
    events,
    auth: auth as Record<Name, TokenAuth>,
    call,
    async login (name) {
      const body = { username: 'ann', password: PASSWORD }
      return (await call('POST', `/${name}/login`, undefined, body)).json<TokenResponse>()
    },
    refresh: (name, token) => call('POST', `/${name}/refresh`, undefined, { refresh_token: token }),
    async poll () {
      for (const poll of polls) {
        poll()
      }

      await new Promise(resolve => setTimeout(resolve, 50))
    }
  }
}

function getSessionId ({ access_token: token }: TokenResponse): string {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()).sid
}

for (const [name, open] of Object.entries(localStores)) {
  t.test(name, async t => {
    async function startTwo (t: Test): Promise<readonly [Instance, Instance]> {
      const { store, close } = await open()
      t.teardown(close)
      const clock = createClock()
      return [await start(t, store, clock), await start(t, store, clock)]
    }

    /** Asserts that the session of the other realm is live at both instances. */
    async function assertUntouched (
      t: Test,
      instances: readonly Instance[],
      tokens: TokenResponse
    ): Promise<void> {
      for (const instance of instances) {
        await instance.poll()
        const me = await instance.call('GET', '/shop/me', tokens.access_token)
        t.equal(me.statusCode, 200)
        t.equal((await instance.refresh('shop', tokens.refresh_token)).statusCode, 200)
        const list = await instance.auth.shop.listSessions('u-ann')
        t.strictSame(list.map(({ id, realm }) => [id, realm]), [[getSessionId(tokens), 'shop']])
      }
    }

    const endings: Readonly<
      Record<string, (instance: Instance, tokens: TokenResponse) => Promise<unknown>>
    > = {
      'POST logout': ({ call }, { refresh_token: token }) =>
        call('POST', '/staff/logout', undefined, { refresh_token: token }),
      'POST logout/all': ({ call }, { access_token: token }) =>
        call('POST', '/staff/logout/all', token),
      'DELETE sessions': async ({ call, login }) =>
        call('DELETE', '/staff/sessions', (await login('staff')).access_token),
      'DELETE sessions/:id': ({ call }, tokens) =>
        call('DELETE', `/staff/sessions/${getSessionId(tokens)}`, tokens.access_token),
      revokeSession: ({ auth }, tokens) => auth.staff.revokeSession(getSessionId(tokens)),
      revokeUser: ({ auth }) => auth.staff.revokeUser('u-ann'),
      passwordChanged: ({ auth }) => auth.staff.passwordChanged('u-ann'),
      reuse: async ({ refresh, clock }, { refresh_token: first }) => {
        const { refresh_token: second } = (await refresh('staff', first)).json()
        clock.advance(10 * SECOND)
        await refresh('staff', second)
        clock.advance(1)
        return refresh('staff', first)
      }
    }

    for (const [title, end] of Object.entries(endings)) {
      t.test(`${title} of one realm leaves the user of another realm alone`, async t => {
        const [here, there] = await startTwo(t)
        const ended = await here.login('staff')
        const other = await here.login('shop')
        await end(here, ended)

        for (const instance of [here, there]) {
          await instance.poll()
          const me = await instance.call('GET', '/staff/me', ended.access_token)
          t.equal(me.json().code, 'AUTH_SESSION_REVOKED')
          t.equal(
            (await instance.refresh('staff', ended.refresh_token)).json().code,
            'AUTH_REFRESH_REVOKED'
          )
        }

        await assertUntouched(t, [here, there], other)

        for (const { events } of [here, there]) {
          const realms = events.filter(({ name }) => name === 'session-ended').map(({ realm }) =>
            realm
          )
          t.strictSame(realms, ['staff'])
        }
      })
    }

    t.test('a realm can neither list nor revoke the sessions of another realm', async t => {
      const [here, there] = await startTwo(t)
      const own = await here.login('staff')
      const other = await here.login('shop')
      const list = await there.call('GET', '/staff/sessions', own.access_token)
      t.strictSame(
        list.json().sessions.map(({ id }: { readonly id: string }) => id),
        [getSessionId(own)]
      )
      const url = `/staff/sessions/${getSessionId(other)}`
      t.equal((await here.call('DELETE', url, own.access_token)).statusCode, 204)
      t.equal(await here.auth.staff.revokeSession(getSessionId(other)), false)

      for (const token of [other.refresh_token, other.access_token]) {
        t.equal((await here.call('POST', '/staff/logout', token)).statusCode, 204)
        t.match((await here.refresh('staff', token)).json(), { code: 'AUTH_REFRESH_INVALID' })
        t.match((await here.call('GET', '/staff/me', token)).json(), {
          code: 'AUTH_ACCESS_INVALID'
        })
      }

      t.notOk(
        here.events.some(({ name }) => name === 'session-missing' || name === 'session-ended')
      )
      await assertUntouched(t, [here, there], other)
    })

    t.test('maxSessions counts the sessions of its own realm', async t => {
      const [here, there] = await startTwo(t)
      const other = await here.login('shop')

      for (let i = 0; i < 4; i++) {
        here.clock.advance(MINUTE)
        await there.login('staff')
      }

      t.equal((await here.auth.staff.listSessions('u-ann')).length, 3)
      await assertUntouched(t, [here, there], other)
    })
  })
}
