// A test provider for the app beside this file: npx tsx examples/oauth2-login/provider.ts
// It asks for no password: you choose a user. In production, use a real provider such as Google.
//
//   PORT            4000
//   CLIENT_SECRET   only-for-local-trials, the secret of the client "example"
//   REDIRECT_URI    http://127.0.0.1:3000/login/callback

import { createHash, randomBytes } from 'node:crypto'
import formbody from '@fastify/formbody'
import Fastify from 'fastify'

const {
  PORT = '4000',
  CLIENT_SECRET: secret = 'only-for-local-trials',
  REDIRECT_URI: redirectUri = 'http://127.0.0.1:3000/login/callback'
} = process.env

type Parameters = Readonly<Record<string, string | undefined>>

interface Grant {
  readonly sub: string
  /** Hash of the code verifier (RFC 7636, section 4.2). */
  readonly challenge: string
}

const issuer = `http://127.0.0.1:${PORT}`
const authorization = `Basic ${Buffer.from(`example:${secret}`).toString('base64')}`
const grants = new Map<string, Grant>()
const subjects = new Map<string, string>()
const createCode = (): string => randomBytes(32).toString('base64url')

const app = Fastify()
await app.register(formbody)

app.get('/.well-known/openid-configuration', async () => ({
  issuer,
  authorization_endpoint: `${issuer}/authorize`,
  token_endpoint: `${issuer}/token`,
  userinfo_endpoint: `${issuer}/userinfo`,
  response_types_supported: ['code'],
  code_challenge_methods_supported: ['S256']
}))

app.get<{ Querystring: Parameters }>('/authorize', async (request, reply) => {
  const {
    user: sub,
    client_id: clientId,
    redirect_uri: uri,
    state = '',
    response_type: responseType,
    code_challenge: challenge,
    code_challenge_method: method
  } = request.query

  if (clientId !== 'example' || uri !== redirectUri) {
    return reply.code(400).send('Unknown client')
  }

  const redirect = (result: Record<string, string>): unknown =>
    reply.redirect(`${uri}?${new URLSearchParams({ state, ...result })}`)

  if (responseType !== 'code' || method !== 'S256' || challenge === undefined) {
    return redirect({ error: 'invalid_request' })
  }

  if (sub === undefined) {
    const links = ['ann', 'bob', 'nobody'].map(name =>
      `<p><a href="${escapeHtml(`${request.url}&user=${name}`)}">Continue as ${name}</a></p>`
    )

    return reply.type('text/html').send(
      `<!doctype html><html lang="en"><title>Provider</title>${links.join('')}</html>`
    )
  }

  if (sub === 'nobody') {
    return redirect({ error: 'access_denied' })
  }

  const code = createCode()
  grants.set(code, { sub, challenge })
  return redirect({ code })
})

app.post<{ Body: Parameters }>('/token', async (request, reply) => {
  const { grant_type: type, code = '', redirect_uri: uri, code_verifier: verifier = '' } =
    request.body
  const grant = grants.get(code)
  grants.delete(code)

  if (request.headers.authorization !== authorization) {
    return reply.code(401).send({ error: 'invalid_client' })
  }

  const challenge = createHash('sha256').update(verifier).digest('base64url')

  if (type !== 'authorization_code' || uri !== redirectUri || challenge !== grant?.challenge) {
    return reply.code(400).send({ error: 'invalid_grant' })
  }

  const token = createCode()
  subjects.set(token, grant.sub)

  return reply.header('cache-control', 'no-store').send({
    access_token: token,
    token_type: 'Bearer',
    expires_in: 60
  })
})

app.get('/userinfo', async (request, reply) => {
  const sub = subjects.get(request.headers.authorization?.replace('Bearer ', '') ?? '')

  return sub === undefined
    ? reply.code(401).send({ error: 'invalid_token' })
    : { sub, email: `${sub}@provider.example` }
})

function escapeHtml (value: string): string {
  return value.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;')
}

await app.listen({ host: '127.0.0.1', port: Number(PORT) })
console.log(`The provider listens on ${issuer}`)
