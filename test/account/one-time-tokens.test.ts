import { createHmac } from 'node:crypto'
import t from 'tap'
import type { Test } from 'tap'
import { OneTimeTokenIssuer } from '../../src/account/one-time-token-issuer.js'
import type { AttemptStore, OneTimeTokens } from '../../src/index.js'
import { MemoryAttempts, MemoryStore } from '../../src/stores/memory/index.js'
import { deriveKeys } from '../../src/tokens/key-derivation.js'
import type { Secrets } from '../../src/tokens/key-derivation.js'
import { createTestApp, SECRET } from '../helpers/app.js'
import type { TestApp } from '../helpers/app.js'
import { createClock } from '../helpers/clock.js'
import type { TestClock } from '../helpers/clock.js'
import { databases } from '../helpers/databases/index.js'

const MINUTE = 60_000
const INVITATION = { purpose: 'invitation', subject: 'ann@example.org', lifetime: '1h' } as const

async function setUp (t: Test): Promise<TestApp & { readonly tokens: OneTimeTokens }> {
  const world = await createTestApp({ options: { revocations: false } })
  t.teardown(() => world.app.close())
  return { ...world, tokens: world.app.tokenAuth.oneTimeTokens }
}

function createIssuer (
  secrets: Secrets,
  clock: TestClock,
  attempts: AttemptStore = new MemoryAttempts()
): OneTimeTokenIssuer {
  return new OneTimeTokenIssuer({
    realm: 'auth',
    attempts,
    clock,
    deriveKeys: purpose => deriveKeys(secrets, 'auth', purpose)
  })
}

t.test('a token is redeemed once, and a repeat within a minute sees `isDone`', async t => {
  const { tokens, clock } = await setUp(t)
  const { token, expiresAt } = await tokens.create({ ...INVITATION, data: { team: 7 } })
  const redeemedAt = clock()
  const first = { subject: 'ann@example.org', data: { team: 7 }, expiresAt, redeemedAt }
  t.same(await tokens.redeem(token, { purpose: 'invitation' }), { ...first, isDone: false })
  clock.advance(MINUTE - 1)
  t.same(await tokens.redeem(token, { purpose: 'invitation' }), { ...first, isDone: true })
  clock.advance(1)
  await t.rejects(tokens.redeem(token, { purpose: 'invitation' }), { code: 'AUTH_ONE_TIME_USED' })
})

t.test('a token expires after its lifetime', async t => {
  const { tokens, clock } = await setUp(t)
  const { token } = await tokens.create(INVITATION)
  clock.advance(60 * MINUTE - 1000)
  t.match(await tokens.verify(token, { purpose: 'invitation' }), { subject: 'ann@example.org' })
  clock.advance(1000)
  const expired = { code: 'AUTH_ONE_TIME_EXPIRED', statusCode: 400 }
  await t.rejects(tokens.verify(token, { purpose: 'invitation' }), expired)
  await t.rejects(tokens.redeem(token, { purpose: 'invitation' }), expired)
  clock.advance(5 * MINUTE)
  await t.rejects(tokens.redeem(token, { purpose: 'invitation' }), expired)
})

t.test('a token of the last second is repeated after its expiry', async t => {
  const { tokens, clock } = await setUp(t)
  const { token, expiresAt } = await tokens.create(INVITATION)
  clock.advance(expiresAt - clock() - 1)
  await tokens.redeem(token, { purpose: 'invitation' })
  clock.advance(30_000)
  t.match(await tokens.redeem(token, { purpose: 'invitation' }), { isDone: true })
})

t.test('another purpose, another kind of token and a changed token are rejected [41]', async t => {
  const { tokens, login } = await setUp(t)
  const { token } = await tokens.create(INVITATION)
  const { access_token: access, refresh_token: refresh } = await login()
  const invalid = { code: 'AUTH_ONE_TIME_INVALID', statusCode: 400 }
  await t.rejects(tokens.redeem(token, { purpose: 'other' }), invalid)

  for (const each of [access, refresh as string, `${token}x`, '', 'a.b.c', undefined as never]) {
    await t.rejects(tokens.redeem(each, { purpose: 'invitation' }), invalid)
  }

  t.match(await tokens.redeem(token, { purpose: 'invitation' }), { isDone: false })
})

t.test('a one-time token opens no protected route and is no refresh token [41]', async t => {
  const { tokens, get, refresh } = await setUp(t)
  const { token } = await tokens.create({ ...INVITATION, subject: 'u-ann' })
  t.match(await get('/protected', token), { statusCode: 401 })
  t.match(await refresh(token), { statusCode: 401 })
  const [header] = token.split('.') as [string]
  t.match(JSON.parse(Buffer.from(header, 'base64url').toString()), { alg: 'HS256', typ: 'ot+jwt' })
})

t.test('a token is outdated as soon as its state changes', async t => {
  const { tokens } = await setUp(t)
  const state = 'ann@example.org'
  const { token } = await tokens.create({ ...INVITATION, state })
  const used = { code: 'AUTH_ONE_TIME_USED' }
  await t.rejects(tokens.verify(token, { purpose: 'invitation', state: 'other' }), used)
  await t.rejects(tokens.verify(token, { purpose: 'invitation', state: null }), used)
  await t.rejects(tokens.verify(token, { purpose: 'invitation' }), used)
  await tokens.verify(token, { purpose: 'invitation', state })
  await t.rejects(tokens.redeem(token, { purpose: 'invitation', state: 'other' }), used)
  const payload = Buffer.from(token.split('.')[1] as string, 'base64url').toString()
  t.equal(JSON.parse(payload).state.includes('ann'), false)
})

t.test('a repeat sees `isDone` only after the state has changed', async t => {
  const { tokens } = await setUp(t)
  let email = 'old@example.org'
  const expected = { purpose: 'invitation', state: async () => email }
  const { token } = await tokens.create({ ...INVITATION, state: email })
  t.match(await tokens.redeem(token, expected), { isDone: false })
  t.match(await tokens.redeem(token, expected), { isDone: false }, 'the change may have failed')
  email = 'new@example.org'
  t.match(await tokens.redeem(token, expected), { isDone: true })
})

t.test('the state may be read for the subject of the token', async t => {
  const { tokens } = await setUp(t)
  const { token } = await tokens.create({ ...INVITATION, subject: 7, state: 'x', data: { a: 1 } })
  const seen: unknown[] = []
  await tokens.redeem(token, {
    purpose: 'invitation',
    state (read) {
      seen.push(read.subject, read.data)
      return 'x'
    }
  })
  t.same(seen, ['7', { a: 1 }])
})

t.test('invalid settings are rejected with the fix', async t => {
  const { tokens } = await setUp(t)
  const cases: Array<[object, RegExp]> = [
    [{ purpose: 'account/reset' }, /"purpose" of oneTimeTokens.create must be a letter/],
    [{ purpose: '' }, /"purpose"/],
    [{ lifetime: 0 }, /"oneTimeTokens.create.lifetime" must be from 1s to 365d/],
    [{ subject: '' }, /"subject" of oneTimeTokens.create must be a non-empty string/],
    [{ data: [] }, /"data" of oneTimeTokens.create must be an object/],
    [{ data: { a: 'x'.repeat(2048) } }, /at most 2048 bytes/],
    [{ ttl: 1 }, /unknown option "oneTimeTokens.create.ttl"/]
  ]

  for (const [settings, message] of cases) {
    await t.rejects(tokens.create({ ...INVITATION, ...settings }), { message })
  }

  await t.rejects(tokens.redeem('x', { purpose: 'x', stat: 1 } as never), /unknown option/)
})

t.test('a memory store is refused for several instances', async t => {
  for (const throttle of [false, {}, { attempts: new MemoryAttempts() }] as const) {
    const { app } = await createTestApp({ options: { throttle } })
    t.teardown(() => app.close())
    await t.rejects(app.tokenAuth.oneTimeTokens.create(INVITATION), {
      message: /requires "throttle.attempts" to be a store that all instances share/
    })
    await t.rejects(app.tokenAuth.oneTimeTokens.redeem('x', { purpose: 'x' }), TypeError)
  }
})

t.test('a token of a listed secret is accepted, and one of a removed secret is not', async t => {
  const clock = createClock()
  const [old, next] = [SECRET, `${SECRET}-2`]
  const input = { purpose: 'x', subject: 'ann', lifetime: MINUTE, state: 's' }
  const { token } = createIssuer([old], clock).create(input)
  const expected = { purpose: 'x', state: 's' }
  t.match(await createIssuer([next, old], clock).redeem(token, expected), { isDone: false })
  await t.rejects(createIssuer([next], clock).redeem(token, expected), {
    code: 'AUTH_ONE_TIME_INVALID'
  })
})

t.test('a session derives from the token and the key, equally on every instance', async t => {
  const clock = createClock()
  const [old, next] = [SECRET, `${SECRET}-2`]
  const [one, other] = [createIssuer([old], clock), createIssuer([next, old], clock)]
  const { token } = one.create({ purpose: 'x', subject: 'ann', lifetime: MINUTE })
  const derived = one.deriveSession(token, null)
  t.same(other.deriveSession(token, null), derived)
  t.match(derived, { secret: /^[\w-]{43}$/ })
  t.equal(derived.idBytes.length, 16)
  const bound = one.deriveSession(token, 'thumbprint')
  t.same(bound.idBytes, derived.idBytes)
  t.not(bound.secret, derived.secret)
  const again = one.create({ purpose: 'x', subject: 'ann', lifetime: MINUTE })
  t.notSame(one.deriveSession(again.token, null), derived)
})

t.test('a signature by the key of another purpose is rejected', async t => {
  const clock = createClock()
  const issuer = createIssuer([SECRET], clock)
  const { token } = issuer.create({ purpose: 'x', subject: 'ann', lifetime: MINUTE })
  const input = token.slice(0, token.lastIndexOf('.'))
  const [{ key }] = deriveKeys([SECRET], 'auth', 'access')
  const forged = `${input}.${createHmac('sha256', key).update(input).digest('base64url')}`
  await t.rejects(issuer.verify(forged, { purpose: 'x' }), { code: 'AUTH_ONE_TIME_INVALID' })
})

for (const [name, { open, skip = false }] of Object.entries(databases)) {
  t.test(`64 requests on two instances redeem a token once: ${name}`, { skip }, async t => {
    const { attempts } = await open(t)
    const clock = createClock()
    const instances = [attempts(), attempts()].map(each => createIssuer([SECRET], clock, each))
    const { token } = (instances[0] as OneTimeTokenIssuer)
      .create({ purpose: 'x', subject: 'ann', lifetime: MINUTE })
    const results = await Promise.all(
      Array.from(
        { length: 64 },
        (_, i) => (instances[i % 2] as OneTimeTokenIssuer).redeem(token, { purpose: 'x' })
      )
    )
    t.equal(results.filter(({ isDone }) => !isDone).length, 1)
    t.equal(new Set(results.map(({ redeemedAt }) => redeemedAt)).size, 1)
  })
}

t.test('a store that fails redeems nothing', async t => {
  const attempts = new MemoryAttempts()
  const { app } = await createTestApp({
    store: new MemoryStore(),
    options: { revocations: false, throttle: { attempts } }
  })
  t.teardown(() => app.close())
  const { token } = await app.tokenAuth.oneTimeTokens.create(INVITATION)

  attempts.consume = async () => {
    throw new Error('down')
  }

  await t.rejects(app.tokenAuth.oneTimeTokens.redeem(token, { purpose: 'invitation' }), {
    code: 'AUTH_STORE_UNAVAILABLE'
  })
})
