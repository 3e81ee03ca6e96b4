// The whole story of examples/account, first with its page of mails, then with a real mail server.

import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { SMTPServer } from 'smtp-server'
import t from 'tap'
import type { Test } from 'tap'
import type { TokenResponse } from '../../src/index.js'
import { createConsumer, defaultDependencies, root } from '../helpers/consumer.js'

// Loaded by URL, because the examples have the types of the built package.
const { buildApp } = await import(
  new URL('../../examples/account/server.ts', import.meta.url).href
) as { buildApp(env: Record<string, string>): Promise<FastifyInstance> }

const EMAIL = 'ann@example.org'
const PASSWORD = 'correct horse battery'
const NEXT_PASSWORD = 'another horse and battery'

interface World {
  readonly app: FastifyInstance
  post(
    url: string,
    payload: object,
    accessToken?: string
  ): Promise<{ status: number, body: string }>
}

async function start (t: Test, env: Record<string, string> = {}): Promise<World> {
  const app = await buildApp(env)
  app.log.level = 'silent'
  t.teardown(() => app.close())

  return {
    app,
    async post (url, payload, accessToken) {
      const headers = accessToken === undefined ? {} : { authorization: `Bearer ${accessToken}` }
      const { statusCode: status, body } = await app.inject({
        method: 'POST',
        url,
        payload,
        headers
      })
      return { status, body }
    }
  }
}

/** Waits for the newest mail with a subject, and returns the token or the code in it. */
async function readMail (app: FastifyInstance, subject: string): Promise<string> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const { body } = await app.inject('/mails')
    const [newest = ''] = body.split('<li>').slice(1)

    if (newest.includes(`<b>${subject}`)) {
      return /#[\w-]+=([\w.-]+)|code is (\d+)/.exec(newest)?.slice(1).find(Boolean) ?? ''
    }

    await new Promise(resolve => setImmediate(resolve))
  }

  throw new Error(`no mail "${subject}"`)
}

t.test('the code block of the guide compiles', async t => {
  const guide = readFileSync(join(root, 'examples/account/README.md'), 'utf8')
  const [code = ''] = [...guide.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code)
  const consumer = createConsumer(defaultDependencies)
  t.teardown(() => {
    consumer.remove()
  })
  const app = 'import type { FastifyInstance } from "fastify"\ndeclare const app: FastifyInstance'
  consumer.write('guide.ts', `${app}\n${code}`)
  consumer.write('wrong.ts', `${app}\n${code.replace('lifetimes', 'lifetime')}`)
  const errors = (await consumer.compile()).split('\n').filter(line => line.includes('error TS'))
  t.match(errors, [/wrong\.ts/])
})

t.test('a user signs up, verifies, forgets, resets, and signs in by link and code', async t => {
  const { app, post } = await start(t)
  const log = async (password: string, email = EMAIL): Promise<TokenResponse> =>
    JSON.parse((await post('/auth/login', { email, password })).body)
  t.match((await app.inject('/')).body, /<title>Account/)
  t.equal((await post('/sign-up', { email: EMAIL, password: PASSWORD })).status, 202)
  const verification = await readMail(app, 'Is this your address?')
  t.match((await log(PASSWORD)).user, { email: EMAIL, isVerified: false })
  t.equal((await post('/auth/email/verify', { token: verification })).status, 204)
  t.match((await log(PASSWORD)).user, { isVerified: true })
  t.equal((await post('/sign-up', { email: EMAIL, password: NEXT_PASSWORD })).status, 202)
  await readMail(app, 'You have an account')

  t.equal((await post('/auth/password/forgot', { email: EMAIL })).status, 202)
  const reset = { token: await readMail(app, 'Set a new password'), password: NEXT_PASSWORD }
  t.equal((await post('/auth/password/reset', reset)).status, 204)
  t.equal((await post('/auth/password/reset', reset)).status, 204, 'a double click')
  t.equal((await post('/auth/login', { email: EMAIL, password: PASSWORD })).status, 401)

  await post('/auth/sign-in/link', { email: EMAIL })
  const token = await readMail(app, 'Sign in')
  t.match(JSON.parse((await post('/auth/sign-in/redeem', { token })).body).user, { email: EMAIL })
  const { challenge } = JSON.parse((await post('/auth/sign-in/code', { email: EMAIL })).body)
  const code = await readMail(app, 'Your code')
  const redeemed = await post('/auth/sign-in/redeem', { challenge, email: EMAIL, code })
  t.equal(redeemed.status, 200)

  const { access_token: access } = await log(NEXT_PASSWORD)
  t.equal((await post('/address', { email: 'new@example.org' }, access)).status, 202)
  const address = { token: await readMail(app, 'Is this your new address?') }
  t.equal((await post('/address/confirm', address)).status, 204)
  t.equal((await post('/address/confirm', address)).status, 204, 'a double click')
  t.match((await log(NEXT_PASSWORD, 'new@example.org')).user, { isVerified: true })

  const change = { current_password: NEXT_PASSWORD, new_password: PASSWORD }
  t.equal((await post('/auth/password/change', change, access)).status, 204)
  t.match(await log(PASSWORD, 'new@example.org'), { token_type: 'bearer' })
})

t.test('a real mail server gets the mails', async t => {
  const mails: string[] = []
  const server = new SMTPServer({
    disabledCommands: ['AUTH', 'STARTTLS'],
    onData (stream, session, callback) {
      const chunks: Buffer[] = []
      stream.on('data', chunk => chunks.push(chunk))
      stream.on('end', () => {
        mails.push([
          session.envelope.rcptTo.map(({ address }) => address).join(),
          Buffer.concat(chunks).toString()
        ].join('\n'))
        callback()
        server.emit('mail')
      })
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server.server, 'listening')
  t.teardown(() =>
    new Promise<void>(resolve => {
      server.close(resolve)
    })
  )
  const { port } = server.server.address() as AddressInfo
  const { app, post } = await start(t, {
    SMTP_URL: `smtp://127.0.0.1:${port}`,
    MAIL_FROM: 'Shop <shop@example.org>'
  })
  const received = once(server, 'mail')
  t.equal((await post('/sign-up', { email: EMAIL, password: PASSWORD })).status, 202)
  await received
  t.match(mails[0], /^ann@example\.org\n/)
  t.match(mails[0], /^From: Shop <shop@example\.org>\r$/m)
  // Long lines are broken by a soft line break (RFC 2045, section 6.7).
  const [, token = ''] = /#verify=([\w.-]+)/
    .exec((mails[0] as string).replaceAll('=\r\n', '').replaceAll('=3D', '=')) ?? []
  t.equal((await post('/auth/email/verify', { token })).status, 204)
  t.equal((await app.inject('/mails')).statusCode, 404)
})
