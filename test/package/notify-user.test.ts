// examples/notify-user in a real app: which mails there are, how few, and that they hold neither tokens nor words of strangers.

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
  mailAddressOf(userId: string): string | null
  send(to: string, subject: string, text: string): unknown
  clock: TestClock
}

// By its address, since its types are those of the package as it was built.
const { tellTheUser } = await import(
  new URL('../../examples/notify-user/index.ts', import.meta.url).href
) as {
  tellTheUser(options: Options): TokenAuthListeners
}

interface Party {
  readonly address: string
  readonly userAgent: string
}

const phone: Party = {
  address: '192.0.2.1',
  userAgent:
    'Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Mobile Safari/537.36'
}
const stranger: Party = {
  address: '2001:db8::66',
  userAgent: 'Your account ends today! Call +1 555 0100\r\nhttps://evil.example'
}
const laptop: Party = {
  address: '198.51.100.7',
  userAgent: 'Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0'
}
const links = { devices: 'https://app.example/devices', password: 'https://app.example/password' }

interface Mail {
  readonly to: string
  readonly subject: string
  readonly text: string
}

interface Stage extends TestApp {
  readonly listeners: TokenAuthListeners
  /** Those that were sent since it was asked last. */
  mails(): Promise<Mail[]>
  signIn(by: Party, username?: string, password?: string): Promise<LightMyRequestResponse>
  /** @returns The refresh token. */
  open(by: Party): Promise<string>
  present(token: string, by: Party): Promise<LightMyRequestResponse>
  next(token: string, by: Party): Promise<string>
}

const everyMail: string[] = []
const secrets = new Set([PASSWORD])

async function stage (t: Test, options: Partial<TokenAuthOptions> = {}): Promise<Stage> {
  const clock = createClock()
  const sent: Mail[] = []
  const listeners = tellTheUser({
    appName: 'Example',
    links,
    mailAddressOf: id => id === 'u-cyd' ? null : `${id}@mail.example`,
    send: async (to, subject, text) => {
      sent.push({ to, subject, text })
      everyMail.push(`${subject}\n${text}`)
    },
    clock
  })
  const test = await createTestApp({ clock, options: { on: listeners, ...options } })
  let read = 0
  t.teardown(() => test.app.close())

  const send = async (
    url: string,
    payload: object,
    { address, userAgent }: Party
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

  const signIn: Stage['signIn'] = (by, username = 'ann', password = PASSWORD) =>
    send('/auth/login', { username, password }, by)
  const present: Stage['present'] = (token, by) =>
    send('/auth/refresh', { refresh_token: token }, by)

  return {
    ...test,
    clock,
    listeners,
    signIn,
    present,
    async mails () {
      await tick()
      const from = read
      read = sent.length
      return sent.slice(from)
    },
    async open (by) {
      return (await signIn(by)).json<TokenResponse>().refresh_token ?? ''
    },
    async next (token, by) {
      clock.advance(MINUTE)
      return (await present(token, by)).json<TokenResponse>().refresh_token ?? ''
    }
  }
}

t.test('a theft is one mail, with both sides', async t => {
  const { mails, open, next, present, clock } = await stage(t)
  const [copied, alsoCopied] = [await open(phone), await open(phone)]
  const newest = await next(await next(copied, phone), phone)
  await next(alsoCopied, phone)
  t.strictSame(await mails(), [], 'the first login of a user makes none')

  clock.advance(HOUR)
  t.equal((await present(copied, stranger)).statusCode, 401)
  const [mail, ...others] = await mails()
  t.strictSame(others, [])
  t.equal(mail?.to, 'u-ann@mail.example')
  t.equal(mail?.subject, 'One sign-in to Example, used in two places')
  t.match(
    mail?.text,
    '\n  1 January 2026, 00:02 UTC: Chrome on Android, 192.0.2.1\n' +
      '  1 January 2026, 01:03 UTC: another program, 2001:db8::66\n'
  )
  t.match(mail?.text, 'So we have ended this sign-in, in both places.')
  t.match(mail?.text, /For our support: session s[\w-]{22}, 2 and 0\./)
  t.match(
    mail?.text,
    `Change your password: ${links.password}\nLook through your devices: ${links.devices}\n`
  )

  t.equal((await present(copied, stranger)).statusCode, 401)
  t.equal((await present(newest, phone)).statusCode, 401)
  const confirmed = await present(alsoCopied, stranger)
  t.strictSame([confirmed.statusCode, await mails()], [200, []], 'a recovery is none')

  // The same thief, a second session: one incident. A day later it is another one.
  const third = await open(phone)
  await next(await next(third, phone), phone)
  t.equal((await present(third, stranger)).statusCode, 401)
  t.strictSame(await mails(), [])
  clock.advance(DAY)
  const fourth = await open(phone)
  await next(await next(fourth, phone), phone)
  t.equal((await present(fourth, stranger)).statusCode, 401)
  t.equal((await mails()).length, 1)
})

t.test('a session that is followed is one mail a day', async t => {
  for (const shadows of ['report', 'revoke'] as const) {
    const { mails, open, next, present, clock } = await stage(t, {
      refreshToken: { replayDetection: shadows }
    })
    let token = await open(phone)
    const statuses: number[] = []

    const follow = async (): Promise<void> => {
      const presented = token
      token = await next(presented, phone)
      clock.advance(SECOND)
      statuses.push((await present(presented, stranger)).statusCode)
    }

    for (let generation = 0; generation < 6; generation++) {
      await follow()
    }

    t.equal(statuses.includes(401), shadows === 'revoke')
    const all = await mails()
    t.equal(all.length, 1)
    t.match(
      all[0]?.text,
      shadows === 'revoke' ? 'we have ended this sign-in' : 'This sign-in is still open.'
    )
    t.match(all[0]?.text, /Chrome on Android, 192\.0\.2\.1\n.*another program, 2001:db8::66\n/)

    if (shadows === 'revoke') {
      continue
    }

    clock.advance(2 * HOUR)
    await follow()
    t.strictSame(await mails(), [])
    clock.advance(DAY)
    await follow()
    t.equal((await mails()).length, 1)
  }
})

t.test('a login from a new device', async t => {
  const { mails, signIn } = await stage(t)
  await signIn(phone)
  await signIn({ ...phone, userAgent: phone.userAgent.replace('126.0', '127.0') })
  await signIn({ ...phone, address: '192.0.77.12' })
  t.strictSame(await mails(), [], 'a newer browser and a neighbour\'s address are nothing new')
  await signIn(laptop)
  await signIn(laptop)
  const [mail, ...others] = await mails()
  t.strictSame(others, [])
  t.equal(mail?.subject, 'A new sign-in to Example')
  t.match(mail?.text, '  1 January 2026, 00:00 UTC: Firefox on Windows, 198.51.100.7\n')
  await signIn({ ...phone, address: '203.0.113.4' })
  await signIn({ ...phone, address: '::ffff:203.0.113.4' })
  t.equal((await mails()).length, 1, 'the same program in another place')
  await signIn(laptop, 'bob')
  await signIn(phone, 'cyd')
  await signIn(laptop, 'cyd')
  t.strictSame(await mails(), [], 'bob begins, and cyd reads no mail')
})

t.test('wrong passwords are one mail an hour, however many', async t => {
  const { mails, signIn, clock, listeners } = await stage(t, { throttle: { address: false } })

  for (let i = 0; i < 180; i++) {
    await signIn({ address: `203.0.113.${i}`, userAgent: 'curl/8' }, 'ann', 'guess')
    await signIn(stranger, 'mallory', 'guess')
    clock.advance(MINUTE)
  }

  const all = await mails()
  t.equal(all.length, 3)
  t.match(all[0]?.text, / {2}1 January 2026, 00:\d\d UTC: another program, 203\.0\.113\.\d+\n/)
  t.match(all[0]?.text, /We let nobody try before 1 January 2026, 0\d:\d\d UTC, but for devices/)
  t.ok(all.every(({ to }) => to === 'u-ann@mail.example'), 'none for who is not there')

  clock.advance(DAY)
  const event = {
    at: clock(),
    until: clock() + HOUR,
    userId: 'u-ann',
    address: null,
    userAgent: null
  }

  for (const limit of ['address', 'device'] as const) {
    await listeners['login-throttled']?.({ ...event, limit })
  }

  t.strictSame(await mails(), [])
  await listeners['login-throttled']?.({ ...event, limit: 'account' })
  t.match(await mails(), [{ text: 'another program, an address that we did not see' }])
})

t.test('a changed password, and nothing else that ends sessions', async t => {
  const { mails, signIn, app, clock } = await stage(t)
  await signIn(phone)
  await signIn(phone)
  await app.tokenAuth.passwordChanged('u-ann')
  await app.tokenAuth.passwordChanged('u-ann')
  const [mail, ...others] = await mails()
  t.strictSame(others, [])
  t.equal(mail?.subject, 'Your password at Example was changed')
  t.match(mail?.text, 'was changed on 1 January 2026, 00:00 UTC.\n2 sign-ins were ended by that.\n')
  clock.advance(HOUR)
  await app.tokenAuth.passwordChanged('u-ann')
  t.notMatch((await mails())[0]?.text, /ended/)
  await app.tokenAuth.revokeUser('u-ann')
  t.strictSame(await mails(), [])
})

t.test('a mail that cannot be sent harms nobody', async t => {
  const clock = createClock()
  const on = tellTheUser({
    appName: 'Example',
    links,
    clock,
    mailAddressOf: id => `${id}@mail.example`,
    send: async () => {
      throw new Error('no mail today')
    }
  })
  const { app, login } = await createTestApp({ clock, options: { on } })
  t.teardown(() => app.close())
  await login()
  await app.tokenAuth.passwordChanged('u-ann')
  await t.resolves(login())
})

t.test('a link with a token is refused at start', async t => {
  const options = {
    appName: 'Example',
    mailAddressOf: () => null,
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
      () => tellTheUser({ ...options, links: { ...links, devices: link } }),
      /the same for everybody/
    )
  }
})

t.test('no mail of all these holds a token, names a thief, or speaks for a stranger', async t => {
  t.ok(everyMail.length >= 10)
  t.ok(secrets.size > 50)
  const all = everyMail.join('\n')

  for (const secret of secrets) {
    if (all.includes(secret)) {
      t.fail('a token is in a mail')
    }
  }

  t.notMatch(all, /eyJ|thief|evil|555/i)
  t.notMatch(all, /[^\n -~]/, 'plain text')
})
