import { once } from 'node:events'
import { request as open } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { connect } from 'node:http2'
import type { IncomingHttpHeaders, IncomingHttpStatusHeader } from 'node:http2'
import { text } from 'node:stream/consumers'
import { Writable } from 'node:stream'
import t from 'tap'
import type { LightMyRequestResponse } from 'fastify'
import { SECOND } from '../../helpers/clock.js'
import { createProof, createProofKey, hashAccessToken } from '../../helpers/dpop.js'
import { assertRejected, credentials, signIn, start } from './dpop-app.js'
import type { World } from './dpop-app.js'

t.test('two DPoP headers, and two proofs in one header, are rejected', async t => {
  const { app, holder, names } = await start(t)
  const base = await app.listen({ host: '127.0.0.1', port: 0 })
  const url = new URL('/auth/login', base)

  async function send (
    dpop: string | string[]
  ): Promise<{ readonly status: number | undefined, readonly body: string }> {
    const sent = open(url, {
      method: 'POST',
      headers: { dpop, 'content-type': 'application/json' }
    }).end(JSON.stringify(credentials))
    const [response] = await once(sent, 'response') as [IncomingMessage]
    return { status: response.statusCode, body: await text(response) }
  }

  await holder.sendOnce('POST', '/auth/login', { body: credentials })
  const prove = (): string => holder.createProof('POST', '', { htu: url.href })
  const same = prove()

  for (
    const dpop of [
      [prove(), prove()],
      [same, same],
      [prove(), ''],
      ['', prove()],
      `${prove()}, ${prove()}`,
      `${prove()},`,
      `${prove()} ${prove()}`
    ]
  ) {
    const { status, body } = await send(dpop)
    t.strictSame([status, JSON.parse(body).code], [401, 'AUTH_DPOP_INVALID'])
    t.notMatch(body, /eyJ/)
  }

  t.strictSame(names(), [])
  t.equal((await send(prove())).status, 200)
})

t.test('proofs work over HTTP/2', async t => {
  const { app, holder } = await start(t, {}, { fastify: { http2: true } as object })
  const base = await app.listen({ host: '127.0.0.1', port: 0 })
  const session = connect(base)
  t.teardown(() => {
    session.close()
  })

  async function send (
    dpop: string | string[]
  ): Promise<{ readonly status: number | undefined, readonly nonce: string }> {
    const stream = session.request({
      ':method': 'POST',
      ':path': '/auth/login',
      'content-type': 'application/json',
      dpop
    })
    stream.end(JSON.stringify(credentials))
    const [headers] = await once(stream, 'response') as [
      IncomingHttpHeaders & IncomingHttpStatusHeader
    ]
    await text(stream)
    return { status: headers[':status'], nonce: String(headers['dpop-nonce']) }
  }

  const prove = (): string => holder.createProof('POST', '', { htu: `${base}/auth/login` })
  holder.nonce = (await send(prove())).nonce
  t.equal((await send([prove(), prove()])).status, 401)
  t.equal((await send(prove())).status, 200)
})

t.test('htu is compared with the client\'s URL behind a trusted proxy or publicUrl', async t => {
  const forwarded = { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'api.test' }
  const getStatus = async (
    { holder }: World,
    htu: string,
    headers: Record<string, string> = {}
  ): Promise<number> =>
    (await holder.send('POST', '/auth/login', { body: credentials, headers, claims: { htu } }))
      .statusCode
  const plain = await start(t)
  t.equal(await getStatus(plain, 'http://localhost/auth/login', forwarded), 200)
  t.equal(
    await getStatus(plain, 'https://api.test/auth/login', forwarded),
    401,
    'a proxy that is not trusted says nothing'
  )
  t.equal(await getStatus(plain, 'http://api.test:8080/auth/login', { host: 'API.test:8080' }), 200)
  t.equal(await getStatus(plain, 'http://api.test/auth/login', { host: 'api.test:8080' }), 401)

  const proxied = await start(t, {}, { fastify: { trustProxy: true } })
  t.equal(await getStatus(proxied, 'https://api.test/auth/login', forwarded), 200)
  t.equal(await getStatus(proxied, 'http://localhost/auth/login', forwarded), 401)

  const named = await start(t, { publicUrl: 'https://api.test/v1' })
  t.equal(await getStatus(named, 'https://api.test/v1/auth/login'), 200)
  t.equal(
    await getStatus(named, 'https://api.test/v1/auth/login', { host: 'evil.test', ...forwarded }),
    200
  )

  for (
    const htu of [
      'http://localhost/auth/login',
      'https://api.test/auth/login',
      'https://api.test/v1',
      'https://evil.test/auth/login'
    ]
  ) {
    t.equal(await getStatus(named, htu, { host: 'evil.test' }), 401, htu)
  }
})

t.test('htu is compared with the original URL without its query', async t => {
  const { holder } = await start(t, {}, {
    fastify: { rewriteUrl: ({ url = '' }) => url.replace('/api/', '/') }
  })
  const { access_token: token } = await signIn(holder)
  t.equal((await holder.sendOnce('GET', '/protected?a=1', { token })).statusCode, 200)
  t.equal(
    (await holder.sendOnce('GET', '/protected?a=1', {
      token,
      claims: { htu: 'http://localhost/protected?b=2#c' }
    })).statusCode,
    200
  )
  t.equal((await holder.sendOnce('GET', '/api/protected', { token })).statusCode, 200)
  const inner = await holder.sendOnce('GET', '/api/protected', {
    token,
    claims: { htu: 'http://localhost/protected' }
  })
  assertRejected(t, inner, 'AUTH_DPOP_INVALID', 'not the rewritten URL')
})

t.test('no response and no log at level trace contains a proof or a nonce', async t => {
  let log = ''
  const stream = new Writable({
    write (line, _encoding, done) {
      log += String(line)
      done()
    }
  })
  const { app, holder, clock } = await start(t, {}, {
    fastify: { logger: { level: 'trace', stream } }
  })
  const jti = 'MARK-jti'
  const answers: LightMyRequestResponse[] = []
  const { access_token: token, refresh_token: refreshToken } = await signIn(holder, {
    claims: { jti: `${jti}-1` }
  })
  const proofs = [
    holder.createProof('GET', '/protected', { jti, ath: hashAccessToken(token) }),
    holder.createProof('GET', '/protected', { jti, ath: 'MARK-ath' }),
    holder.createProof('MARK-htm', '/protected', { jti }),
    holder.createProof('GET', '/MARK-htu', { jti }),
    holder.createProof('GET', '/protected', { jti, nonce: 'MARK-nonce' }),
    createProof(createProofKey(), { jti: ['MARK-jti'] }, { typ: 'MARK-typ' }),
    'MARK-nonsense'
  ]

  for (const dpop of [...proofs, `${proofs[0] ?? ''}, ${proofs[1] ?? ''}`, proofs[0] ?? '']) {
    answers.push(
      await app.inject({ url: '/protected', headers: { dpop, authorization: `DPoP ${token}` } })
    )
    answers.push(
      await app.inject({
        method: 'POST',
        url: '/auth/refresh',
        payload: { refresh_token: refreshToken },
        headers: { dpop }
      })
    )
  }

  t.strictSame(
    answers.map(({ statusCode }) => statusCode).filter(status => status !== 401),
    [200],
    'one of them was good'
  )
  clock.advance(10 * SECOND)
  t.match(log, /"req"/)

  for (
    const [name, text] of [...answers.map(({ body }) => ['a body', body]), [
      'the log',
      log
    ]] as Array<[string, string]>
  ) {
    t.notMatch(text, /MARK/, name)

    if (name !== 'a body' || !text.includes('userId')) {
      t.notMatch(text, /eyJ/, name)
    }

    t.notOk(text.includes(String(holder.nonce)), name)
  }
})
