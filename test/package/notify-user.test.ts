// These tests check the number and the text of the mails of examples/notify-user.

import { setImmediate as tick } from 'node:timers/promises'
import type { LightMyRequestResponse } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import type { TokenAuthListeners, TokenAuthOptions, TokenResponse } from '../../src/index.js'
import { createTestApp, PASSWORD } from '../helpers/app.js'
import type { TestApp } from '../helpers/app.js'
import { createClock, DAY, HOUR, MINUTE, SECOND } from '../helpers/clock.js'
import type { TestClock } from '../helpers/clock.js'

interface Options {
  appName: string
  links: { devices: string, password: string }
  getMailAddress(userId: string): string | null
  send(to: string, subject: string, body: string): unknown
  clock: TestClock
}

// Loaded by URL, because the examples have the types of the built package.
const { notifyUser } = await import(
  new URL('../../examples/notify-user/notify-user.ts', import.meta.url).href
) as {
  notifyUser(options: Options): TokenAuthListeners
}

interface Device {
  readonly address: string
  readonly userAgent: string
}

const phone: Device = {
  address: '192.0.2.1',
  userAgent: 'Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 ' +
    '(KHTML, like Gecko) Chrome/126.0 Mobile Safari/537.36'
}
const attacker: Device = {
  address: '2001:db8::66',
  userAgent: 'Your account ends today! Call +1 555 0100\r\nhttps://evil.example'
}
const laptop: Device = {
  address: '198.51.100.7',
  userAgent: 'Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0'
}
const links = { devices: 'https://app.example/devices', password: 'https://app.example/password' }

interface Mail {
  readonly to: string
  readonly subject: string
  readonly body: string
}

interface Fixture extends TestApp {
  readonly listeners: TokenAuthListeners
  /** Returns the mails since the last call. */
  readMails(): Promise<Mail[]>
  signIn(device: Device, username?: string, password?: string): Promise<LightMyRequestResponse>
  /** Logs in and returns the refresh token. */
  openSession(device: Device): Promise<string>
  presentToken(token: string, device: Device): Promise<LightMyRequestResponse>
  /** Refreshes a minute later and returns the successor. */
  rotate(token: string, device: Device): Promise<string>
}

const allMails: string[] = []
const secrets = new Set([PASSWORD])

async function createFixture (t: Test, options: Partial<TokenAuthOptions> = {}): Promise<Fixture> {
  const clock = createClock()
  const sent: Mail[] = []
  const listeners = notifyUser({
    appName: 'Example',
    links,
    getMailAddress: id => id === 'u-cyd' ? null : `${id}@mail.example`,
    send: async (to, subject, body) => {
      sent.push({ to, subject, body })
      allMails.push(`${subject}\n${body}`)
    },
    clock
  })
  const test = await createTestApp({ clock, options: { on: listeners, ...options } })
  let read = 0
  t.teardown(() => test.app.close())

  const send = async (
    url: string,
    payload: object,
    { address, userAgent }: Device
  ): Promise<LightMyRequestResponse> => {
    const headers = { 'user-agent': userAgent.replace('\r\n', ' ') }
    const response = await test.app.inject({
      method: 'POST',
      url,
      remoteAddress: address,
      headers,
      payload
    })
    const { access_token: access, refresh_token: refresh } = response.json<Partial<TokenResponse>>()

    for (const token of [access, refresh]) {
      if (token !== undefined) {
        secrets.add(token)
      }
    }

    return response
  }

  const signIn: Fixture['signIn'] = (device, username = 'ann', password = PASSWORD) =>
    send('/auth/login', { username, password }, device)
  const presentToken: Fixture['presentToken'] = (token, device) =>
    send('/auth/refresh', { refresh_token: token }, device)

  return {
    ...test,
    clock,
    listeners,
    signIn,
    presentToken,
    async readMails () {
      await tick()
      const from = read
      read = sent.length
      return sent.slice(from)
    },
    async openSession (device) {
      return (await signIn(device)).json<TokenResponse>().refresh_token ?? ''
    },
    async rotate (token, device) {
      clock.advance(MINUTE)
      return (await presentToken(token, device)).json<TokenResponse>().refresh_token ?? ''
    }
  }
}

t.test('a reuse causes one mail that describes both sides', async t => {
  const { readMails, openSession, rotate, presentToken, clock } = await createFixture(t)
  const [copied, alsoCopied] = [await openSession(phone), await openSession(phone)]
  const newest = await rotate(await rotate(copied, phone), phone)
  await rotate(alsoCopied, phone)
  t.strictSame(await readMails(), [], 'the first login of a user causes no mail')

  clock.advance(HOUR)
  t.equal((await presentToken(copied, attacker)).statusCode, 401)
  const [mail, ...others] = await readMails()
  t.strictSame(others, [])
  t.equal(mail?.to, 'u-ann@mail.example')
  t.equal(mail?.subject, 'One sign-in to Example, used in two places')
  t.match(
    mail?.body,
    '\n  1 January 2026, 00:02 UTC: Chrome on Android, 192.0.2.1\n' +
      '  1 January 2026, 01:03 UTC: another program, 2001:db8::66\n'
  )
  t.match(mail?.body, 'We signed out both. Your other devices stay signed in.')
  t.match(mail?.body, /For our support: session s[\w-]{31}, generations 2 and 0\./)
  t.match(
    mail?.body,
    `Change your password: ${links.password}\nCheck your devices: ${links.devices}\n`
  )

  t.equal((await presentToken(copied, attacker)).statusCode, 401)
  t.equal((await presentToken(newest, phone)).statusCode, 401)
  const recovered = await presentToken(alsoCopied, attacker)
  t.strictSame([recovered.statusCode, await readMails()], [200, []], 'the same incident')

  // A second session within the hour belongs to the same incident. A day later it does not.
  const third = await openSession(phone)
  await rotate(await rotate(third, phone), phone)
  clock.advance(SECOND)
  t.equal((await presentToken(third, attacker)).statusCode, 401)
  t.strictSame(await readMails(), [])
  clock.advance(DAY)
  const fourth = await openSession(phone)
  await rotate(await rotate(fourth, phone), phone)
  clock.advance(SECOND)
  t.equal((await presentToken(fourth, attacker)).statusCode, 401)
  t.equal((await readMails()).length, 1)
})

t.test('a recovery causes one mail if it comes from another client', async t => {
  const { readMails, openSession, rotate, presentToken, clock } = await createFixture(t)
  const [lost, stolen] = [await openSession(phone), await openSession(phone)]
  await rotate(lost, phone)
  await rotate(stolen, phone)
  clock.advance(MINUTE)
  t.equal((await presentToken(lost, phone)).statusCode, 200)
  t.strictSame(await readMails(), [], 'the same client lost a response')
  t.equal((await presentToken(stolen, attacker)).statusCode, 200)
  const [mail, ...others] = await readMails()
  t.strictSame(others, [])
  t.match(mail?.body, 'This sign-in is still active.')
})

t.test('repeated replays of a session cause one mail per day', async t => {
  for (const replayDetection of ['report', 'revoke'] as const) {
    const { readMails, openSession, rotate, presentToken, clock } = await createFixture(t, {
      refreshToken: { replayDetection }
    })
    let token = await openSession(phone)
    const statuses: number[] = []

    const replay = async (): Promise<void> => {
      const presented = token
      token = await rotate(presented, phone)
      clock.advance(SECOND)
      statuses.push((await presentToken(presented, attacker)).statusCode)
    }

    for (let generation = 0; generation < 6; generation++) {
      await replay()
    }

    t.equal(statuses.includes(401), replayDetection === 'revoke')
    const all = await readMails()
    t.equal(all.length, 1)
    t.match(
      all[0]?.body,
      replayDetection === 'revoke' ? 'We signed out both.' : 'This sign-in is still active.'
    )
    t.match(all[0]?.body, /Chrome on Android, 192\.0\.2\.1\n.*another program, 2001:db8::66\n/)

    if (replayDetection === 'revoke') {
      continue
    }

    clock.advance(2 * HOUR)
    await replay()
    t.strictSame(await readMails(), [])
    clock.advance(DAY)
    await replay()
    t.equal((await readMails()).length, 1)
  }
})

t.test('a login from a new device causes one mail', async t => {
  const { readMails, signIn } = await createFixture(t)
  await signIn(phone)
  await signIn({ ...phone, userAgent: phone.userAgent.replace('126.0', '127.0') })
  await signIn({ ...phone, address: '192.0.77.12' })
  t.strictSame(await readMails(), [], 'a browser update and an address nearby are not new')
  await signIn(laptop)
  await signIn(laptop)
  const [mail, ...others] = await readMails()
  t.strictSame(others, [])
  t.equal(mail?.subject, 'New sign-in to Example')
  t.match(mail?.body, '  1 January 2026, 00:00 UTC: Firefox on Windows, 198.51.100.7\n')
  await signIn({ ...phone, address: '203.0.113.4' })
  await signIn({ ...phone, address: '::ffff:203.0.113.4' })
  t.equal((await readMails()).length, 1, 'the same program in a new place')
  await signIn(laptop, 'bob')
  await signIn(phone, 'cyd')
  await signIn(laptop, 'cyd')
  t.strictSame(await readMails(), [], 'it is the first login of bob, and cyd has no address')
})

t.test('wrong passwords cause at most one mail per hour', async t => {
  const { readMails, signIn, clock, listeners } = await createFixture(t, {
    throttle: { address: false }
  })

  for (let i = 0; i < 180; i++) {
    await signIn({ address: `203.0.113.${i}`, userAgent: 'curl/8' }, 'ann', 'guess')
    await signIn(attacker, 'mallory', 'guess')
    clock.advance(MINUTE)
  }

  const all = await readMails()
  t.equal(all.length, 3)
  t.match(all[0]?.body, / {2}1 January 2026, 00:\d\d UTC: another program, 203\.0\.113\.\d+\n/)
  t.match(
    all[0]?.body,
    /only devices that you used before\ncan sign in: 1 January 2026, 0\d:\d\d UTC\./
  )
  t.ok(all.every(({ to }) => to === 'u-ann@mail.example'), 'an unknown user causes no mail')

  clock.advance(DAY)
  const event = {
    at: clock(),
    realm: 'auth',
    actor: 'client',
    until: clock() + HOUR,
    userId: 'u-ann',
    address: null,
    userAgent: null
  } as const

  for (const limit of ['address', 'device'] as const) {
    await listeners['login-throttled']?.({ ...event, limit })
  }

  t.strictSame(await readMails(), [])
  await listeners['login-throttled']?.({ ...event, limit: 'account' })
  t.match(await readMails(), [{ body: 'another program, an unknown address' }])
})

t.test('a changed password causes a mail, other revocations do not', async t => {
  const { readMails, signIn, app, clock } = await createFixture(t)
  await signIn(phone)
  await signIn(phone)
  await app.tokenAuth.passwordChanged('u-ann')
  await app.tokenAuth.passwordChanged('u-ann')
  const [mail, ...others] = await readMails()
  t.strictSame(others, [])
  t.equal(mail?.subject, 'Your password for Example was changed')
  t.match(mail?.body, 'was changed on 1 January 2026, 00:00 UTC.\nThis signed out all devices.\n')
  clock.advance(HOUR)
  await app.tokenAuth.passwordChanged('u-ann', { keep: 's1' })
  t.match((await readMails())[0]?.body, 'This signed out all other devices.\n')
  await app.tokenAuth.revokeUser('u-ann')
  t.strictSame(await readMails(), [])
})

t.test('an error of send does not affect the response', async t => {
  const clock = createClock()
  const on = notifyUser({
    appName: 'Example',
    links,
    clock,
    getMailAddress: id => `${id}@mail.example`,
    send: async () => {
      throw new Error('mail server is down')
    }
  })
  const { app, login } = await createTestApp({ clock, options: { on } })
  t.teardown(() => app.close())
  await login()
  await app.tokenAuth.passwordChanged('u-ann')
  await t.resolves(login())
})

t.test('a link with a query, fragment or password throws', async t => {
  const options = {
    appName: 'Example',
    getMailAddress: () => null,
    send () {},
    clock: createClock()
  }

  for (
    const link of ['?token=abc', '#abc'].map(end => links.devices + end).concat(
      'http://app.example/',
      'https://a:b@app.example/'
    )
  ) {
    t.throws(
      () => notifyUser({ ...options, links: { ...links, devices: link } }),
      /"links" must be https URLs without query/
    )
  }
})

t.test('no mail contains a token, an accusation or a user agent', async t => {
  t.ok(allMails.length >= 10)
  t.ok(secrets.size > 50)
  const text = allMails.join('\n')

  for (const secret of secrets) {
    if (text.includes(secret)) {
      t.fail('a mail contains a token')
    }
  }

  t.notMatch(text, /eyJ|thief|attacker|evil|555/i)
  t.notMatch(text, /[^\n -~]/, 'plain text')
})
