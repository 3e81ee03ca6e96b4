import { generateKeyPairSync } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import Fastify from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import { tokenAuth } from '../../../src/index.js'
import type { TokenAuthOptions, TokenResponse } from '../../../src/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { createTestApp, PASSWORD_HASH, SECRET } from '../../helpers/app.js'
import type { TestApp } from '../../helpers/app.js'

type KeyOptions = Required<Pick<TokenAuthOptions, 'keys' | 'issuer' | 'audience'>>

const createKey = (): KeyObject => generateKeyPairSync('ed25519').privateKey

function createOptions (): KeyOptions {
  return { keys: [{ key: createKey() }], issuer: 'https://auth.example.org', audience: 'api' }
}

/** Registers `auth` and `shop` on one app. */
async function registerTwo (t: Test, one: KeyOptions, other: KeyOptions): Promise<void> {
  const user = { id: 'u-ann', username: 'ann', passwordHash: PASSWORD_HASH }
  const store = new MemoryStore()
  const app = Fastify()
  t.teardown(() => app.close())

  for (const [name, options] of Object.entries({ auth: one, shop: other })) {
    await app.register(async scope => {
      await scope.register(tokenAuth, {
        secret: SECRET,
        store,
        sweep: false,
        throttle: false,
        name,
        prefix: `/${name}`,
        routes: { jwks: `/${name}/jwks.json` },
        users: { findByLogin: () => user, findById: () => user },
        ...options
      })
    })
  }

  await app.ready()
}

t.test('equal keys, issuer and audience of two registrations fail at start', async t => {
  const options = createOptions()
  const keys: KeyOptions['keys'] = [{ key: createKey() }, ...options.keys]
  const message = /"keys", "issuer" and "audience"; set another "audience"/
  await t.rejects(registerTwo(t, options, options), { message })
  await t.rejects(
    registerTwo(t, options, { ...options, keys }),
    { message },
    'one common key is enough'
  )
  await t.resolves(registerTwo(t, options, { ...options, audience: 'shop' }))
  await t.resolves(registerTwo(t, options, { ...options, issuer: 'https://shop.example.org' }))
  await t.resolves(registerTwo(t, options, createOptions()))
})

t.test('a token is valid in its own realm only, also with equal keys and audience', async t => {
  const options = createOptions()
  const store = new MemoryStore()

  const open = async (name: string): Promise<TestApp> => {
    const test = await createTestApp({ store, options: { ...options, name } })
    t.teardown(() => test.app.close())
    return test
  }

  const realms = { auth: await open('auth'), shop: await open('shop'), staff: await open('staff') }

  for (const [home, { login }] of Object.entries(realms)) {
    const { access_token: access, refresh_token: refresh }: TokenResponse = await login()

    for (const [name, realm] of Object.entries(realms)) {
      const [used, refreshed] = [
        await realm.get('/protected', access),
        await realm.refresh(refresh)
      ]

      if (name === home) {
        t.strictSame([used.statusCode, refreshed.statusCode], [200, 200])
      } else {
        t.strictSame(
          [used.json().code, refreshed.json().code],
          ['AUTH_ACCESS_INVALID', 'AUTH_REFRESH_INVALID'],
          `${home} at ${name}`
        )
      }
    }
  }
})
