// The service runs on virtual time, and its requests need no network.

import { mock } from 'node:test'
import * as jose from 'jose'
import t from 'tap'
import type { Test } from 'tap'
import type { TokenVerifierOptions } from '../../../src/verifier/index.js'
import { SECOND } from '../../helpers/clock.js'
import type { Note } from '../oauth/sync-setup.js'
import { ann, attacker, createProof, HERE } from './dpop-setup.js'
import { JWKS, pairs, toJwk } from './jwks-setup.js'
import { createBody, signToken, startVerifier } from './sync-setup.js'
import type { Verifier } from './sync-setup.js'

const BASE = 'https://auth.example.org'

interface VirtualIssuer {
  isDown: boolean
  /** Revocations of the next response of each service. */
  readonly revocations: object[]
  /** Notes of all requests. */
  readonly notes: Note[]
  start(options: Partial<TokenVerifierOptions>): Promise<Verifier>
  advance(seconds: number): Promise<void>
}

function createIssuer (t: Test): VirtualIssuer {
  mock.timers.enable({ apis: ['setTimeout', 'Date'], now: Date.now() })
  const stub = mock.method(globalThis, 'fetch', async (url: URL | string, init: RequestInit) => {
    if (issuer.isDown) {
      throw new TypeError('fetch failed')
    }

    if (new URL(url).pathname === JWKS) {
      return Response.json({ keys: [toJwk(pairs.EdDSA)] })
    }

    const { cursor, notes } = JSON.parse(init.body as string) as {
      readonly cursor: string | null
      readonly notes: Note[]
    }
    issuer.notes.push(...notes)
    // The cursor is the number of revocations that the service has.
    const revocations = issuer.revocations.slice(Number(cursor ?? 0)) as never
    return new Response(createBody({ cursor: String(issuer.revocations.length), revocations }))
  })
  t.teardown(() => {
    stub.mock.restore()
    mock.timers.reset()
  })
  const issuer: VirtualIssuer = {
    isDown: false,
    revocations: [],
    notes: [],
    start: async options => startVerifier(t, BASE, { clock: Date.now, ...options }),
    async advance (seconds) {
      for (let second = 0; second < seconds; second++) {
        mock.timers.tick(SECOND)

        for (let turn = 0; turn < 8; turn++) {
          await new Promise(resolve => {
            setImmediate(resolve)
          })
        }
      }
    }
  }
  return issuer
}

t.test('an issuer that is down for a minute costs what failAfter says', async t => {
  const issuer = createIssuer(t)
  const limited = await issuer.start({ sync: { failAfter: '10s' } as never })
  const unlimited = await issuer.start({})
  const [first, second] = [signToken('s1'), signToken('s2')]

  for (const { read } of [limited, unlimited]) {
    t.equal(await read(first), 200)
    t.equal(await read(second), 200)
  }

  issuer.isDown = true
  issuer.revocations.push({ at: Date.now(), reason: 'logout', sid: 's1', sub: 'u-ann' })
  await issuer.advance(10)
  t.equal(await limited.read(first), 200, '10 s')
  await issuer.advance(1)
  t.equal(await limited.read(first), 'AUTH_STORE_UNAVAILABLE', '11 s')
  await issuer.advance(49)
  t.equal(await limited.read(second), 'AUTH_STORE_UNAVAILABLE', 'a minute')
  t.equal(await unlimited.read(first), 200, 'a minute, without a limit')
  issuer.isDown = false
  await issuer.advance(1)

  for (const { read } of [limited, unlimited]) {
    t.equal(await read(first), 'AUTH_SESSION_REVOKED', 'caught up')
    t.equal(await read(second), 200)
  }
})

t.test('tokens that were used during an outage are noted after it', async t => {
  const issuer = createIssuer(t)
  const { read } = await issuer.start({})
  t.equal(await read(signToken('s1')), 200)
  await issuer.advance(1)
  issuer.isDown = true
  t.equal(await read(signToken('s1', 1)), 200)
  t.equal(await read(signToken('s2')), 200)
  await issuer.advance(60)
  issuer.isDown = false
  await issuer.advance(3)
  t.strictSame(issuer.notes.map(({ sid, gen }) => `${sid}.${gen}`), ['s1.0', 's1.1', 's2.0'])
})

t.test('a token that is bound to a key is noted only after its proof', async t => {
  const issuer = createIssuer(t)
  const { app, read } = await issuer.start({ dpop: true })
  const jkt = await jose.calculateJwkThumbprint(await jose.exportJWK(ann.publicKey))
  const token = signToken('s1', 3, { cnf: { jkt } })

  const send = async (proof?: string): Promise<number> => {
    const headers = {
      host: 'localhost',
      authorization: `DPoP ${token}`,
      ...proof !== undefined && { dpop: proof }
    }
    const { statusCode } = await app.inject({ url: '/protected', headers })
    return statusCode
  }

  const iat = Math.floor(Date.now() / 1000)
  t.equal(await read(token), 'AUTH_ACCESS_INVALID', 'as bearer token')
  t.equal(await send(), 401, 'no proof')
  t.equal(await send(await createProof(attacker, token, { iat })), 401, 'another key')
  t.equal(await send(await createProof(ann, token, { iat, htu: `${HERE}/x` })), 401, 'another URL')
  await issuer.advance(3)
  t.strictSame(issuer.notes, [])
  t.equal(await send(await createProof(ann, token, { iat })), 200)
  await issuer.advance(3)
  t.match(issuer.notes, [{ sid: 's1', gen: 3, seen: 'AAAAAAAAAAA' }])
})
