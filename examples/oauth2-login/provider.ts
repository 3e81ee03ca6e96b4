// `npx tsx examples/oauth2-login/provider.ts`: stands in for a provider such as Google, so that the example can be tried on one
// machine. It asks nobody for a password: whoever comes says who they are. In earnest it is somebody else's.
//
//   PORT           4000
//   CLIENT_SECRET  for-the-trial-alone; of the client "example"
//   REDIRECT_URI   http://127.0.0.1:3000/login/callback

import { createHash, randomBytes } from 'node:crypto'
import formbody from '@fastify/formbody'
import Fastify from 'fastify'

const {
  PORT = '4000',
  CLIENT_SECRET: secret = 'for-the-trial-alone',
  REDIRECT_URI: redirectUri = 'http://127.0.0.1:3000/login/callback'
} = process.env

type Parameters = Readonly<Record<string, string | undefined>>

interface Grant {
  readonly sub: string
  /** The hash of what the client has kept to itself (PKCE, RFC 7636). */
  readonly challenge: string
}

const issuer = `http://127.0.0.1:${PORT}`
const credentials = `Basic ${Buffer.from(`example:${secret}`).toString('base64')}`
const grants = new Map<string, Grant>()
const tokens = new Map<string, string>()
const random = (): string => randomBytes(32).toString('base64url')

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
    as: sub,
    client_id: clientId,
    redirect_uri: uri,
    state = '',
    code_challenge: challenge,
    ...others
  } = request.query

  if (clientId !== 'example' || uri !== redirectUri) {
    return reply.code(400).send('Nobody here knows this client')
  }

  const back = (answer: Record<string, string>): unknown =>
    reply.redirect(`${uri}?${new URLSearchParams({ state, ...answer })}`)
  const isProvable = others.code_challenge_method === 'S256' && challenge !== undefined

  if (!isProvable || others.response_type !== 'code') {
    return back({ error: 'invalid_request' })
  }

  if (sub === undefined) {
    const link = (name: string): string =>
      `<p><a href="${escape(`${request.url}&as=${name}`)}">Go on as ${name}</a></p>`

    return reply.type('text/html').send(
      `<!doctype html><title>The provider</title>${['ann', 'bob', 'nobody'].map(link).join('')}`
    )
  }

  if (sub === 'nobody') {
    return back({ error: 'access_denied' })
  }

  const code = random()
  grants.set(code, { sub, challenge })
  return back({ code })
})

app.post<{ Body: Parameters }>('/token', async (request, reply) => {
  const { grant_type: type, code = '', redirect_uri: uri, code_verifier: verifier = '' } =
    request.body
  const grant = grants.get(code)
  grants.delete(code)

  if (request.headers.authorization !== credentials) {
    return reply.code(401).send({ error: 'invalid_client' })
  }

  const isProven = createHash('sha256').update(verifier).digest('base64url') === grant?.challenge

  if (type !== 'authorization_code' || uri !== redirectUri || !isProven) {
    return reply.code(400).send({ error: 'invalid_grant' })
  }

  const token = random()
  tokens.set(token, grant.sub)

  return reply.header('cache-control', 'no-store').send({
    access_token: token,
    token_type: 'Bearer',
    expires_in: 60
  })
})

app.get('/userinfo', async (request, reply) => {
  const sub = tokens.get(request.headers.authorization?.replace('Bearer ', '') ?? '')

  return sub === undefined
    ? reply.code(401).send({ error: 'invalid_token' })
    : { sub, email: `${sub}@provider.example` }
})

function escape (text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;')
}

await app.listen({ host: '127.0.0.1', port: Number(PORT) })
console.log(`The provider listens on ${issuer}`)
