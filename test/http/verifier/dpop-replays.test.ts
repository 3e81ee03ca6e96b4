import { randomBytes } from 'node:crypto'
import { mock } from 'node:test'
import Fastify from 'fastify'
import t from 'tap'
import { MemoryAttempts } from '../../../src/stores/memory/index.js'
import { tokenVerifier } from '../../../src/verifier/index.js'
import { createClock, HOUR, MINUTE } from '../../helpers/clock.js'
import {
  ann,
  attacker,
  client,
  createProof,
  scope,
  startIssuer,
  startVerifier
} from './dpop-setup.js'

t.test('a used proof is rejected by all instances that share the replay store', async t => {
  const issuer = await startIssuer(t)
  const { access_token: token } = await issuer.login(ann)
  const replays = new MemoryAttempts()

  for (const dpop of [{ nonces: false }, { secret: randomBytes(32) }]) {
    const instances = [
      await startVerifier(t, issuer, { ...dpop, replays }),
      await startVerifier(t, issuer, { ...dpop, replays })
    ] as const
    const { headers } = await instances[0].get({
      authorization: `DPoP ${token}`,
      dpop: await createProof(ann, token)
    })
    const nonce = headers['dpop-nonce']
    const proof = await createProof(ann, token, { nonce })
    t.equal(await instances[0].ask('DPoP', token, proof), 200)
    t.equal(await instances[1].ask('DPoP', token, proof), 'AUTH_DPOP_INVALID')
    const another = await createProof(ann, token, { nonce })
    const results = await Promise.all(
      Array.from({ length: 50 }, (_, i) => instances[i % 2 as 0 | 1].ask('DPoP', token, another))
    )
    t.equal(results.filter(result => result === 200).length, 1, 'exactly one of fifty')
    t.equal(results.filter(result => result === 'AUTH_DPOP_INVALID').length, 49)

    const apart = await startVerifier(t, issuer, dpop)
    t.equal(
      await apart.ask('DPoP', token, another),
      200,
      'an instance with its own replay store accepts it'
    )
  }
})

t.test('an unavailable replay store results in 503', async t => {
  const issuer = await startIssuer(t)
  const { access_token: token } = await issuer.login(ann)

  for (
    const consume of [async () => {
      throw new Error('down')
    }, () => new Promise<never>(() => {})]
  ) {
    const replays = Object.assign(new MemoryAttempts(), { consume })
    const { ask } = await startVerifier(t, issuer, { nonces: false, replays }, { timeout: '1s' })
    t.equal(await ask('DPoP', token, await createProof(ann, token)), 503)
    t.equal(await ask('DPoP', token), 'AUTH_DPOP_INVALID')
  }
})

t.test('a proof that arrives with an invalid token is not consumed', async t => {
  const issuer = await startIssuer(t)
  const { access_token: token } = await issuer.login(ann)
  const consumed: string[] = []
  const replays = new MemoryAttempts()
  const consume = replays.consume.bind(replays)

  replays.consume = (counts, now) => {
    consumed.push(...counts.map(({ key }) => key))
    return consume(counts, now)
  }

  const { ask } = await startVerifier(t, issuer, { nonces: false, replays })

  for (let i = 0; i < 10; i++) {
    t.equal(await ask('DPoP', token, await createProof(attacker, token)), 'AUTH_ACCESS_INVALID')
  }

  const proof = await createProof(ann, token)

  for (const text of [`${token}A`, (await issuer.login(ann)).access_token]) {
    t.not(await ask('DPoP', text, proof), 200)
  }

  t.strictSame(consumed, [])
  t.equal(await ask('DPoP', token, proof), 200)
  t.equal(consumed.length, 1)
})

t.test('used proofs are deleted after they have expired', async t => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => {
    mock.timers.reset()
  })
  const swept: number[] = []
  const replays = new MemoryAttempts()
  const watched = {
    check: replays.check.bind(replays),
    consume: replays.consume.bind(replays),
    refund: replays.refund.bind(replays),
    reset: replays.reset.bind(replays),
    async sweep (batch: { readonly now: number, readonly limit: number }) {
      const count = await replays.sweep(batch)
      swept.push(count)
      return count
    }
  }
  const app = Fastify()
  const clock = createClock()
  await app.register(tokenVerifier, {
    introspection: { uri: 'http://localhost/introspect', ...client },
    ...scope,
    clock,
    dpop: { replays: watched }
  })
  await app.ready()
  const rule = {
    freeAttempts: 1,
    maxAttempts: 1,
    wait: 0,
    longestWait: 0,
    retention: MINUTE,
    sliding: false
  }
  await replays.consume([{ key: 'seen', rule }], clock())
  clock.advance(MINUTE)
  mock.timers.tick(HOUR)
  await new Promise(resolve => setImmediate(resolve))
  t.strictSame(swept, [1])
  await app.close()
})
