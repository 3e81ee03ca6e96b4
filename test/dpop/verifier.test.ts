import { randomUUID } from 'node:crypto'
import t from 'tap'
import type { Test } from 'tap'
import { DpopNonces } from '../../src/dpop/nonces.js'
import { DpopVerifier } from '../../src/dpop/verifier.js'
import type { DpopProof, ProvenRequest } from '../../src/dpop/verifier.js'
import { MemoryAttempts } from '../../src/stores/memory/index.js'
import { createProof, createProofKey, hashAccessToken } from '../helpers/dpop.js'
import type { ProofKey } from '../helpers/dpop.js'
import { createClock, DAY, MINUTE, SECOND } from '../helpers/clock.js'
import type { TestClock } from '../helpers/clock.js'

const URL_HERE = 'https://api.test/orders/1'
const here: ProvenRequest = { method: 'POST', url: URL_HERE, accessToken: null }
const key = createProofKey()

interface World {
  readonly clock: TestClock
  readonly proofs: DpopVerifier
  readonly nonces: DpopNonces
  /** Creates a proof for {@link here}, with the current nonce if there are nonces. */
  write(claims?: object, by?: ProofKey): string
  check(claims?: object, request?: Partial<ProvenRequest>): DpopProof
}

function open ({ nonces: hasNonces = true, replays = new MemoryAttempts() } = {}): World {
  const clock = createClock()
  const nonces = new DpopNonces([Buffer.alloc(32, 1)])
  const proofs = new DpopVerifier({ nonces: hasNonces ? nonces : null, replays, clock })
  const write: World['write'] = (claims = {}, by = key) =>
    createProof(by, {
      jti: randomUUID(),
      htm: 'POST',
      htu: URL_HERE,
      iat: clock() / 1000,
      nonce: hasNonces ? nonces.current(clock()) : undefined,
      ...claims
    })

  return {
    clock,
    proofs,
    nonces,
    write,
    check: (claims, request) => proofs.verify(write(claims), { ...here, ...request })
  }
}

function assertRejected (
  t: Test,
  work: () => unknown,
  words: string,
  name: string,
  code = 'AUTH_DPOP_INVALID'
): void {
  t.throws(work, { code, message: words }, name)
}

t.test('a request URL with dot segments is rejected', async t => {
  const { check } = open()
  const paths = [
    '/public/../orders/1',
    '/public/%2e%2E/orders/1',
    '/public/.%2e/orders/1',
    '/./orders/1',
    '/orders/%2E/1',
    '/orders/1/x/..',
    '/orders/1/x/..?a=b',
    '/public\\..\\orders\\1',
    '/orders\\1',
    '/public/.\t./orders/1'
  ]

  for (const path of paths) {
    const url = `https://api.test${path}`
    const htu = new URL(url).href.split('?')[0]
    assertRejected(t, () => check({ htu }, { url }), 'dot segments', path)
    assertRejected(t, () => check({ htu: url }, { url }), 'dot segments', path)
  }

  for (const path of ['/orders/..1', '/orders/.a', '/orders/...', '/orders/1?to=/../x']) {
    const url = `https://api.test${path}`
    t.ok(check({ htu: url }, { url }), path)
  }
})

t.test('a proof is valid for one method in its exact spelling', async t => {
  const { check } = open()
  t.ok(check())

  for (const htm of ['GET', 'post', 'Post', 'POST ', 'PUT', 'HEAD']) {
    assertRejected(t, () => check({ htm }), 'htm', htm)
  }

  assertRejected(t, () => check({ htm: 'GET' }, { method: 'HEAD' }), 'htm', 'HEAD is not GET')
})

t.test('a URL matches in every spelling and without query or fragment', async t => {
  const { check } = open()
  const same: Array<[htu: string, url?: string]> = [
    [URL_HERE],
    ['HTTPS://API.TEST/orders/1'],
    ['https://api.test:443/orders/1'],
    [`${URL_HERE}?a=1`],
    [`${URL_HERE}#top`],
    [`${URL_HERE}?a=1#top`],
    [URL_HERE, `${URL_HERE}?b=2`],
    [`${URL_HERE}?a=1`, `${URL_HERE}?b=2`],
    ['https://api.test/%6frders/%31'],
    [URL_HERE, 'https://api.test/%6Frders/1'],
    ['https://api.test/x/../orders/./1'],
    ['https://api.test/x/%2e%2e/orders/1'],
    ['https://api.test/a%2fb', 'https://api.test/a%2Fb'],
    ['https://api.test/a%20b', 'https://api.test/a b'],
    ['https://api.test/%C3%A9', 'https://api.test/é'],
    ['https://api.test/%7eann', 'https://api.test/~ann'],
    ['https://api.test', 'https://api.test/'],
    ['http://api.test:80/', 'http://api.test/'],
    ['https://xn--bcher-kva.test/', 'https://bücher.test/']
  ]

  for (const [htu, url = URL_HERE] of same) {
    t.ok(check({ htu }, { url }), `${htu} for ${url}`)
  }
})

t.test('a URL of another scheme, host, port, path or user does not match', async t => {
  const { check } = open()
  const other: Array<[htu: string, url?: string]> = [
    ['http://api.test/orders/1'],
    ['https://api.test:80/orders/1'],
    ['https://api.test:8443/orders/1'],
    ['https://evil.test/orders/1'],
    ['https://api.test.evil.test/orders/1'],
    ['https://api.test./orders/1'],
    ['https://api.test/orders/2'],
    ['https://api.test/orders/1/'],
    ['https://api.test/Orders/1'],
    ['https://api.test//orders/1'],
    ['https://api.test/orders%2F1'],
    ['https://api.test/orders/%2531'],
    ['https://api.test/'],
    ['https://ann@api.test/orders/1'],
    ['https://ann:x@api.test/orders/1'],
    ['https://:x@api.test/orders/1'],
    ['https://api.test@evil.test/orders/1'],
    ['/orders/1'],
    ['//api.test/orders/1'],
    ['api.test/orders/1'],
    ['orders/1'],
    ['x'],
    ['https://'],
    ['https:///'],
    ['blob:https://api.test/orders/1'],
    ['https://api.test/orders/1', 'not an address'],
    ['not an address', 'not an address'],
    ['https://ann@api.test/', 'https://ann@api.test/'],
    ['https://api.test/%C3%A9', 'https://api.test/%C3%A8'],
    ['https://api.test/a%2Fb', 'https://api.test/a/b']
  ]

  for (const [htu, url = URL_HERE] of other) {
    assertRejected(
      t,
      () => check({ htu }, { url }),
      'htu does not match the request URL',
      `${htu} for ${url}`
    )
  }
})

t.test('a proof with an access token must contain its hash', async t => {
  const { check } = open()
  const accessToken = 'an.access.token'
  t.ok(check({ ath: hashAccessToken(accessToken) }, { accessToken }))
  t.ok(check({ ath: hashAccessToken(accessToken) }))

  for (
    const ath of [
      undefined,
      hashAccessToken('another'),
      accessToken,
      hashAccessToken(accessToken).slice(1),
      `${hashAccessToken(accessToken)}=`,
      hashAccessToken(accessToken).toUpperCase()
    ]
  ) {
    assertRejected(
      t,
      () => check({ ath }, { accessToken }),
      'ath does not match the access token',
      String(ath)
    )
  }
})

t.test('a proof with nonce is valid whatever the client\'s clock says', async t => {
  const { check, clock, nonces, proofs } = open()
  t.equal(proofs.nonce(), nonces.current(clock()))

  for (const wrong of [-365 * DAY, 365 * DAY]) {
    t.ok(check({ iat: (clock() + wrong) / 1000 }))
  }

  const [now, lastMinute, older] = [0, MINUTE, 2 * MINUTE].map(since =>
    nonces.current(clock() - since)
  )
  t.ok(check({ nonce: now }))
  t.ok(check({ nonce: lastMinute }))
  t.ok(check({ nonce: nonces.current(clock() + MINUTE) }), 'of an instance whose clock is ahead')
  const elsewhere = new DpopNonces([Buffer.alloc(32, 2)]).current(clock())

  for (const nonce of [undefined, older, nonces.current(clock() + 2 * MINUTE), elsewhere, 'x']) {
    assertRejected(t, () => check({ nonce }), 'DPoP-Nonce', String(nonce), 'AUTH_DPOP_NONCE')
  }
})

t.test('other errors are reported before a missing nonce', async t => {
  const { check } = open()
  assertRejected(t, () => check({ nonce: undefined, htm: 'GET' }), 'htm', 'htm')
  assertRejected(t, () => check({ nonce: undefined, htu: 'x' }), 'htu', 'htu')
  assertRejected(t, () => check({ nonce: undefined, ath: 'x' }, { accessToken: 'y' }), 'ath', 'ath')
})

t.test('a proof without nonce must have been created within one minute', async t => {
  const { check, clock, proofs } = open({ nonces: false })
  t.equal(proofs.nonce(), null)

  for (const wrong of [-MINUTE, -SECOND, 0, SECOND, MINUTE]) {
    t.ok(check({ iat: (clock() + wrong) / 1000 }), `${wrong}`)
  }

  for (const wrong of [-365 * DAY, -MINUTE - SECOND, MINUTE + SECOND, 365 * DAY]) {
    assertRejected(
      t,
      () => check({ iat: (clock() + wrong) / 1000 }),
      'iat is too far from the server time',
      `${wrong}`
    )
  }

  t.ok(
    Number.isSafeInteger(check({ iat: clock() / 1000 + 0.123_456_7 }).until),
    'stores save whole milliseconds'
  )
  t.ok(check({ nonce: 'x' }), 'a nonce is ignored')
})

t.test('no error contains a value of the proof', async t => {
  const { write, proofs } = open({ nonces: false })
  const marks = {
    jti: 'MARK-jti',
    htm: 'MARK-htm',
    htu: 'https://MARK-htu/',
    nonce: 'MARK-nonce',
    ath: 'MARK-ath'
  }

  for (const [name, value] of Object.entries(marks)) {
    for (const claims of [{ [name]: value }, { [name]: value, iat: 0 }]) {
      try {
        proofs.verify(write(claims), { ...here, accessToken: name === 'ath' ? 'x' : null })
      } catch (error) {
        t.notMatch(String((error as Error).message), /MARK|eyJ/)
      }
    }
  }

  t.throws(() => proofs.verify('eyJ.x.MARK', here), { message: /^DPoP proof is invalid$/ })
})

for (const nonces of [true, false]) {
  t.test(`a proof is consumed once, ${nonces ? 'with' : 'without'} nonces`, async t => {
    const { proofs, write, clock } = open({ nonces })
    const text = write()
    const read = (): DpopProof => proofs.verify(text, here)
    const first = read()
    await proofs.consume(first)
    await proofs.consume(first)
    t.pass('the same object is consumed again')
    await t.rejects(proofs.consume(read()), { code: 'AUTH_DPOP_INVALID', message: 'used before' })
    await proofs.consume(proofs.verify(write({ jti: 'the same' }), here))
    await proofs.consume(proofs.verify(write({ jti: 'the same' }, createProofKey()), here))
    t.pass('a jti belongs to its key')
    await t.rejects(
      proofs.consume(
        proofs.verify(write({ jti: 'the same', htm: 'GET' }), { ...here, method: 'GET' })
      ),
      { message: 'used before' }
    )
    clock.advance(SECOND)
    await t.rejects(proofs.consume(read()), { message: 'used before' })
  })

  t.test(`one of 50 concurrent uses succeeds, ${nonces ? 'with' : 'without'} nonces`, async t => {
    const replays = new MemoryAttempts()
    const [one, other] = [open({ nonces, replays }), open({ nonces, replays })]
    const text = one.write()
    const results = await Promise.allSettled(Array.from({ length: 50 }, async (_, i) => {
      const { proofs } = i % 2 === 0 ? one : other
      await proofs.consume(proofs.verify(text, here))
    }))
    t.equal(results.filter(({ status }) => status === 'fulfilled').length, 1)

    for (const result of results) {
      if (result.status === 'rejected') {
        t.equal(result.reason.code, 'AUTH_DPOP_INVALID')
      }
    }
  })

  t.test(`a consumed proof is saved until it expires (nonces: ${nonces})`, async t => {
    const { proofs, write, clock, nonces: given } = open({ nonces })
    // The proof with the longest time until it expires.
    const text = nonces
      ? write({ nonce: given.current(clock() + MINUTE) })
      : write({ iat: (clock() + MINUTE) / 1000 })
    await proofs.consume(proofs.verify(text, here))
    const last = nonces ? 3 * MINUTE - 1 : 2 * MINUTE

    for (const wait of [SECOND, last - SECOND]) {
      clock.advance(wait)
      await t.rejects(async () => proofs.consume(proofs.verify(text, here)), {
        message: 'used before'
      })
    }

    t.equal(await proofs.replays.sweep({ now: clock(), limit: 9 }), 0)
    clock.advance(1)
    t.throws(() => proofs.verify(text, here), {
      code: nonces ? 'AUTH_DPOP_NONCE' : 'AUTH_DPOP_INVALID'
    })
    clock.advance(MINUTE - 1)
    t.equal(
      await proofs.replays.sweep({ now: clock(), limit: 9 }),
      0,
      'a clock that is one minute behind may still accept it'
    )
    clock.advance(1)
    t.equal(
      await proofs.replays.sweep({ now: clock(), limit: 9 }),
      1,
      'then it is deleted'
    )
  })
}

t.test('a proof that is only verified is not saved', async t => {
  let taken = 0
  const replays = Object.assign(new MemoryAttempts(), {
    consume: async () => {
      taken++
      return null
    }
  })
  const { proofs, write } = open({ replays })
  const text = write()

  for (let i = 0; i < 3; i++) {
    t.ok(proofs.verify(text, here))
  }

  t.equal(taken, 0)
  await proofs.consume(proofs.verify(text, here))
  t.equal(taken, 1)
})

t.test('consume rejects while the store fails and can be repeated', async t => {
  let isDown = true
  const memory = new MemoryAttempts()
  const replays = Object.assign(new MemoryAttempts(), {
    consume: async (...given: Parameters<MemoryAttempts['consume']>) =>
      isDown ? Promise.reject(new Error('down')) : memory.consume(...given)
  })
  const { proofs, write } = open({ replays })
  const text = write()
  const proof = proofs.verify(text, here)
  await t.rejects(proofs.consume(proof), { message: 'down' })
  await t.rejects(proofs.consume(proof), { message: 'down' }, 'it is not consumed')
  isDown = false
  await proofs.consume(proof)
  await t.rejects(proofs.consume(proofs.verify(text, here)), { message: 'used before' })
})
