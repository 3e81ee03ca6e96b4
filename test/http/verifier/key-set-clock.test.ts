import t from 'tap'
import { HOUR, MINUTE, SECOND } from '../../helpers/clock.js'
import {
  claims,
  createHeader,
  createToken,
  pairs,
  startKeyServer,
  startVerifier,
  toJwk,
  toKeySet
} from './jwks-setup.js'

/** Creates a token that is valid long before the clock of the tests. */
function createEarlyToken (jti: string, header: object = createHeader('EdDSA')): string {
  return createToken('EdDSA', header, { ...claims, jti, iat: 0 })
}

t.test('a removed key is rejected immediately after the system clock was set back', async t => {
  const keys = await startKeyServer(t, toJwk(pairs.EdDSA))
  const { clock, status } = await startVerifier(t, keys.uri)
  t.equal(await status(createEarlyToken('cached')), 200)
  keys.response = toKeySet(toJwk(pairs.ES256))
  clock.advance(-HOUR)
  t.equal(await status(createEarlyToken('cached')), 401)
  t.equal(await status(createEarlyToken('new')), 401)
  t.equal(keys.hits.length, 2)
})

t.test('requests share one read of the key set after the clock was set back', async t => {
  const keys = await startKeyServer(t, toJwk(pairs.EdDSA))
  const { clock, status } = await startVerifier(t, keys.uri)
  t.equal(await status(createEarlyToken('cached')), 200)
  clock.advance(-HOUR)
  const tokens = Array.from({ length: 20 }, (_, i) => createEarlyToken(`${i}`))
  t.strictSame(
    await Promise.all([createEarlyToken('cached'), ...tokens].map(status)),
    Array(21).fill(200)
  )
  t.equal(keys.hits.length, 2)
  clock.advance(MINUTE)
  t.equal(await status(createEarlyToken('cached')), 200)
  t.equal(keys.hits.length, 2, 'the age starts at the new read')
})

t.test('requests get 503 if the clock was set back while the issuer is down', async t => {
  const keys = await startKeyServer(t, toJwk(pairs.EdDSA))
  const { clock, get } = await startVerifier(t, keys.uri)
  const code = async (token: string): Promise<string | undefined> =>
    (await get('/protected', token)).json<{ code?: string }>().code
  const unknown = createEarlyToken('unknown', { ...createHeader('EdDSA'), kid: 'unknown' })
  t.equal(await code(createEarlyToken('cached')), undefined)
  t.equal(await code(unknown), 'AUTH_ACCESS_INVALID', 'within the cooldown')
  keys.response = 'down'
  clock.advance(-HOUR)
  t.equal(await code(unknown), 'AUTH_KEYS_UNAVAILABLE')
  t.equal(await code(createEarlyToken('cached')), 'AUTH_KEYS_UNAVAILABLE')
  keys.response = toKeySet(toJwk(pairs.EdDSA))
  clock.advance(SECOND)
  t.equal(await code(createEarlyToken('cached')), undefined)
  t.equal(await code(unknown), 'AUTH_ACCESS_INVALID')
})
