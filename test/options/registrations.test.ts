import { generateKeyPairSync } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import t from 'tap'
import { addRegistration } from '../../src/options/registrations.js'
import { resolve } from './resolve.js'

const generateKey = (): KeyObject => generateKeyPairSync('ed25519').privateKey

const [first, second] = [generateKey(), generateKey()]
const parties = { issuer: 'https://auth.test', audience: 'https://api.test' }

/** Registers two sets of options in one app. */
function registerBoth (one: object, other: object): void {
  const app = {}
  addRegistration(app, resolve({ name: 'users', ...one }))
  addRegistration(app, resolve({ name: 'staff', ...other }))
}

t.test('two registrations of an app with one name are rejected', async t => {
  const app = {}
  addRegistration(app, resolve({}))
  t.throws(() => addRegistration(app, resolve({})), {
    message: 'fastify-token-auth: "name" must be unique in an app; "auth" is registered already'
  })
  t.throws(() => addRegistration(app, resolve({ name: 'auth' })), { message: '"auth"' })
  t.doesNotThrow(() => addRegistration(app, resolve({ name: 'staff' })))
  t.throws(() => addRegistration(app, resolve({ name: 'staff' })), { message: '"staff"' })
})

t.test('a rejected registration does not take its name', async t => {
  const app = {}
  addRegistration(app, resolve({ ...parties, keys: [first] }))
  t.throws(() => addRegistration(app, resolve({ ...parties, name: 'staff', keys: [first] })))
  t.doesNotThrow(() => addRegistration(app, resolve({ ...parties, name: 'staff', keys: [second] })))
})

t.test('registrations of two apps may be equal', async t => {
  const options = resolve({ ...parties, keys: [first] })
  addRegistration({}, options)
  t.doesNotThrow(() => addRegistration({}, options))
})

t.test('two registrations that would accept tokens of each other are rejected', async t => {
  const equal: ReadonlyArray<readonly [object, object]> = [
    [{ keys: [first] }, { keys: [first] }],
    [{ keys: [first, second] }, { keys: [second] }],
    [{ keys: [first] }, { keys: [second, first] }],
    [{ keys: [first] }, { keys: ['secret', first] }],
    [{ keys: [first] }, { keys: [first], issuer: ['https://next.test', parties.issuer] }],
    [{ keys: [first] }, { keys: [first], audience: ['https://next.test', parties.audience] }]
  ]

  for (const [one, other] of equal) {
    t.throws(() => registerBoth({ ...parties, ...one }, { ...parties, ...other }), {
      message: 'fastify-token-auth: the registrations "users" and "staff" have the same "keys", ' +
        '"issuer" and "audience"; set another "audience" for one of them'
    })
  }
})

t.test('registrations that differ in keys, issuer or audience are accepted', async t => {
  const keys = [first]
  const accepted: ReadonlyArray<readonly [object, object]> = [
    [{}, {}],
    [{ ...parties, keys }, {}],
    [{ ...parties, keys: ['secret', first] }, { ...parties, keys: ['secret', second] }],
    [{ ...parties, keys }, { ...parties, keys: [second] }],
    [{ ...parties, keys }, { ...parties, keys, issuer: 'https://other.test' }],
    [{ ...parties, keys }, { ...parties, keys, audience: 'https://other.test' }]
  ]

  for (const [one, other] of accepted) {
    t.doesNotThrow(() => registerBoth(one, other))
  }
})
