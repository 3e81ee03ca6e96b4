import { randomUUID } from 'node:crypto'
import t from 'tap'
import type { Test } from 'tap'
import { asCookie, Browser, REFRESH, sameOrigin } from '../http/routes/browser.js'
import { createProofKey, DpopClient } from '../helpers/dpop.js'
import { createAccountApp, EMAIL, NEW_PASSWORD, readCode } from './account-app.js'
import type { AccountApp } from './account-app.js'

const REDEEM = '/auth/sign-in/redeem'
const USED = [400, 'AUTH_ONE_TIME_USED']

async function requestLink (t: Test, world?: AccountApp): Promise<AccountApp & { token: string }> {
  const app = world ?? await createAccountApp(t)
  const { token } = await app.request('/auth/sign-in/link', { email: EMAIL })
  return { ...app, token }
}

t.test('a link opens a session with the method otp', async t => {
  const { post, get, refresh, token, events, app } = await requestLink(t)
  const response = await post(REDEEM, { token, device: 'Phone' })
  t.equal(response.statusCode, 200)
  t.match(response.json(), { token_type: 'bearer', user: { id: 'u-ann' }, refresh_token: String })
  const { access_token: access, refresh_token: next } = response.json()
  t.match((await get('/protected', access)).json(), { userId: 'u-ann', amr: ['otp'] })
  t.match(await app.tokenAuth.listSessions('u-ann'), [{ device: { label: 'Phone' } }])
  t.match((await refresh(next)).statusCode, 200)
  t.match(events, [
    { name: 'link-sent', purpose: 'sign-in-link' },
    { name: 'login', userId: 'u-ann', actor: 'client' },
    { name: 'refresh' }
  ])
})

t.test('a repeat within a minute gets the same tokens and no second session', async t => {
  const { post, token, clock, app, events } = await requestLink(t)
  const first = await post(REDEEM, { token })
  clock.advance(59_000)
  const second = await post(REDEEM, { token })
  t.same(second.json(), first.json())
  t.equal((await app.tokenAuth.listSessions('u-ann')).length, 1)
  t.equal(events.filter(({ name }) => name === 'login').length, 1)
  clock.advance(1000)
  t.same(readCode(await post(REDEEM, { token })), USED)
})

t.test('a repeat opens the session if the first request was cut off', async t => {
  const { post, token, clock, store, app } = await requestLink(t)
  const { create } = store

  store.create = async () => {
    throw new Error('down')
  }

  t.same(readCode(await post(REDEEM, { token })), [503, 'AUTH_STORE_UNAVAILABLE'])
  store.create = create
  clock.advance(30_000)
  const response = await post(REDEEM, { token })
  t.equal(response.statusCode, 200)
  t.same((await post(REDEEM, { token })).json(), response.json())
  t.equal((await app.tokenAuth.listSessions('u-ann')).length, 1)
})

t.test('a repeat does not reopen a session that was used or revoked', async t => {
  const refreshed = await requestLink(t)
  const { refresh_token: next } = (await refreshed.post(REDEEM, { token: refreshed.token })).json()
  await refreshed.refresh(next)
  t.same(readCode(await refreshed.post(REDEEM, { token: refreshed.token })), USED)

  const revoked = await requestLink(t)
  await revoked.post(REDEEM, { token: revoked.token })
  revoked.clock.advance(10)
  await revoked.app.tokenAuth.revokeUser('u-ann')
  revoked.clock.advance(10)
  t.same(readCode(await revoked.post(REDEEM, { token: revoked.token })), USED)

  const cutOff = await requestLink(t)
  const { create } = cutOff.store

  cutOff.store.create = async () => {
    throw new Error('down')
  }

  await cutOff.post(REDEEM, { token: cutOff.token })
  cutOff.store.create = create
  cutOff.clock.advance(10)
  await cutOff.app.tokenAuth.revokeUser('u-ann')
  cutOff.clock.advance(10)
  t.same(readCode(await cutOff.post(REDEEM, { token: cutOff.token })), USED)
  t.same(await cutOff.app.tokenAuth.listSessions('u-ann'), [])
})

t.test('a link is outdated after a new password or address, and for a disabled user', async t => {
  const world = await createAccountApp(t)
  const ann = world.users.get('u-ann') as object

  for (const change of [{ email: 'new@example.org' }, { passwordHash: null }, { disabled: true }]) {
    const { token } = await requestLink(t, world)
    const before = { ...ann }
    Object.assign(ann, change)
    t.same(readCode(await world.post(REDEEM, { token })), USED, JSON.stringify(change))
    Object.assign(ann, { disabled: false, ...before })
  }

  const { token } = await requestLink(t, world)
  await world.post(REDEEM, { token })
  Object.assign(ann, { passwordHash: null })
  t.same(readCode(await world.post(REDEEM, { token })), USED, 'a repeat')
})

t.test('a link sets cookies, and a repeat keeps them', async t => {
  const world = await requestLink(t)
  const browser = new Browser(world as never)
  const { token } = world
  const response = await browser.send('POST', REDEEM, { token, remember_me: true }, asCookie)
  t.equal(response.statusCode, 200)
  t.equal(response.json().refresh_token, undefined)
  const cookie = browser.jar.get(REFRESH)
  t.ok(cookie)
  const repeated = await browser.send('POST', REDEEM, { token, remember_me: true }, asCookie)
  t.same(repeated.json(), response.json())
  t.equal(browser.jar.get(REFRESH), cookie)
  t.equal((await browser.send('POST', '/auth/refresh')).statusCode, 200)
  const foreign = await requestLink(t, world)
  const evil = { ...asCookie, 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' }
  t.same(
    readCode(await world.post(REDEEM, { token: foreign.token }, evil)),
    [403, 'AUTH_ORIGIN_REJECTED']
  )
  t.equal(
    (await world.post(REDEEM, { token: foreign.token }, { ...asCookie, ...sameOrigin })).statusCode,
    200,
    'the rejected request did not use the link up'
  )
})

t.test('a link replaces the session of the same browser', async t => {
  const world = await requestLink(t)
  const browser = new Browser(world as never)
  await browser.send('POST', REDEEM, { token: world.token }, asCookie)
  const { token } = await requestLink(t, world)
  await browser.send('POST', REDEEM, { token }, asCookie)
  t.equal((await world.app.tokenAuth.listSessions('u-ann')).length, 1)
})

t.test('a link binds the session to the key of the proof, and to no second key', async t => {
  const world = await requestLink(t, await createAccountApp(t, { options: { dpop: true } }))
  const { app, token, get } = world
  const [holder, thief] = [createProofKey(), createProofKey()].map(key => new DpopClient(app, key))
  const response = await holder?.send('POST', REDEEM, { body: { token } })
  t.match(response?.json(), { token_type: 'DPoP' })
  const { access_token: access } = response?.json()
  t.equal((await get('/protected', access)).statusCode, 401)
  t.equal((await holder?.send('GET', '/protected', { token: access }))?.statusCode, 200)
  t.same((await holder?.send('POST', REDEEM, { body: { token } }))?.json(), response?.json())
  t.same(readCode((await thief?.send('POST', REDEEM, { body: { token } })) as never), USED)
  t.same(readCode(await world.post(REDEEM, { token })), USED)
  t.equal((await app.tokenAuth.listSessions('u-ann')).length, 1)
})

t.test('a link requires a DPoP proof too, and stays valid after an invalid proof', async t => {
  const world = await requestLink(
    t,
    await createAccountApp(t, {
      options: { dpop: { required: true } }
    })
  )
  const { app, token, post } = world
  t.same(readCode(await post(REDEEM, { token })), [401, 'AUTH_DPOP_INVALID'])
  const holder = new DpopClient(app)
  const bad = await holder.send('POST', REDEEM, { body: { token }, claims: { htm: 'GET' } })
  t.same(readCode(bad), [401, 'AUTH_DPOP_INVALID'])
  t.equal((await holder.send('POST', REDEEM, { body: { token } })).statusCode, 200)
})

t.test('a code opens a session with its challenge and address', async t => {
  const { post, mails, settle, get, clock, app } = await createAccountApp(t)
  const { challenge, expires_in: lifetime } = (await post('/auth/sign-in/code', { email: EMAIL }))
    .json()
  t.equal(lifetime, 600)
  await settle()
  const { code } = mails[0] as { code: string }
  t.match(code, /^\d{6}$/)
  const body = { challenge, email: EMAIL, code }
  const invalid = [400, 'AUTH_ONE_TIME_INVALID']
  const other = code === '000000' ? '000001' : '000000'
  t.same(readCode(await post(REDEEM, { ...body, code: other })), invalid)
  t.same(readCode(await post(REDEEM, { ...body, email: 'bob@example.org' })), invalid)
  t.same(readCode(await post(REDEEM, { ...body, challenge: 'x' })), invalid)
  const { challenge: next } = (await post('/auth/sign-in/code', { email: EMAIL })).json()
  t.same(readCode(await post(REDEEM, { ...body, challenge: next })), invalid)
  const response = await post(REDEEM, { ...body, email: 'Ann@Example.org' })
  t.same(readCode(response), invalid, 'findByEmail of this app is exact')
  const opened = await post(REDEEM, body)
  t.equal(opened.statusCode, 200)
  t.match((await get('/protected', opened.json().access_token)).json(), { amr: ['otp'] })
  clock.advance(59_000)
  t.same((await post(REDEEM, body)).json(), opened.json())
  clock.advance(1000)
  t.same(readCode(await post(REDEEM, body)), USED)
  t.equal((await app.tokenAuth.listSessions('u-ann')).length, 1)
})

t.test('a code expires, and is outdated after a new password', async t => {
  const { post, mails, settle, clock, users } = await createAccountApp(t)

  const request = async () => {
    const { challenge } = (await post('/auth/sign-in/code', { email: EMAIL })).json()
    await settle()
    return { challenge, email: EMAIL, code: mails.at(-1)?.code }
  }

  const old = await request()
  clock.advance(600_000)
  t.same(readCode(await post(REDEEM, old)), [400, 'AUTH_ONE_TIME_EXPIRED'])
  const outdated = await request()
  Object.assign(users.get('u-ann') ?? {}, { passwordHash: NEW_PASSWORD })
  t.same(readCode(await post(REDEEM, outdated)), [400, 'AUTH_ONE_TIME_INVALID'])
})

t.test('a code accepts five guesses, and an account limited ones over all codes [76]', async t => {
  const { post, mails, settle } = await createAccountApp(t, {
    flows: { sendLimits: { account: false }, codeLength: 8 }
  })
  let guesses = 0

  for (let round = 0; round < 2; round++) {
    const { challenge } = (await post('/auth/sign-in/code', { email: EMAIL })).json()
    await settle()
    const { code } = mails.at(-1) as { code: string }
    t.match(code, /^\d{8}$/)
    const wrong = code === '00000000' ? '00000001' : '00000000'
    const guess = (code: string) => post(REDEEM, { challenge, email: EMAIL, code })

    for (let i = 0; i < 5; i++) {
      t.same(readCode(await guess(wrong)), [400, 'AUTH_ONE_TIME_INVALID'])
      guesses++
    }

    t.same(readCode(await guess(code)), USED)
  }

  t.equal(guesses, 10)
  const { challenge } = (await post('/auth/sign-in/code', { email: EMAIL })).json()
  const response = await post(REDEEM, { challenge, email: EMAIL, code: '12345678' })
  t.same(readCode(response), [429, 'AUTH_TOO_MANY_ATTEMPTS'])
})

t.test('concurrent equal requests are one guess', async t => {
  const { post, mails, settle, app } = await createAccountApp(t)
  const { challenge } = (await post('/auth/sign-in/code', { email: EMAIL })).json()
  await settle()
  const body = { challenge, email: EMAIL, code: mails[0]?.code }
  const responses = await Promise.all(Array.from({ length: 64 }, () => post(REDEEM, body)))
  t.equal(new Set(responses.map(({ body }) => body)).size, 1)
  t.equal(responses[0]?.statusCode, 200)
  t.equal((await app.tokenAuth.listSessions('u-ann')).length, 1)
})

t.test('an unknown address gets the same responses as a known one', async t => {
  const { post, mails, settle } = await createAccountApp(t)
  const email = `${randomUUID()}@example.org`
  const [known, unknown] = [
    await post('/auth/sign-in/code', { email: EMAIL }),
    await post('/auth/sign-in/code', { email })
  ]
  t.equal(unknown.statusCode, known.statusCode)
  t.equal(unknown.body.length, known.body.length)
  const { challenge } = unknown.json()
  t.same(
    readCode(await post(REDEEM, { challenge, email, code: '123456' })),
    [400, 'AUTH_ONE_TIME_INVALID']
  )
  t.equal((await post('/auth/sign-in/link', { email })).statusCode, 202)
  await settle()
  t.same(mails.map(({ to }) => to), [EMAIL])
  const payload = String(Buffer.from(challenge.split('.')[1], 'base64url'))
  t.notOk(payload.includes('example'))
})

t.test('redeem takes either a link or a code', async t => {
  const { post } = await createAccountApp(t)
  const bodies = [{}, { token: 'a', code: '1' }, { challenge: 'a', code: '1' }, { token: 7 }, []]

  for (const body of bodies) {
    t.same(readCode(await post(REDEEM, body)), [400, 'AUTH_REQUEST_INVALID'])
  }
})
