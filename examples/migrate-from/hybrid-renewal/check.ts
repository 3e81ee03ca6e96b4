// Sends the requests of a hybrid-renewal client to a server, and prints what differs:
//
//   npx tsx examples/migrate-from/hybrid-renewal/check.ts http://127.0.0.1:8000
//
//   EMAIL, PASSWORD               an existing user; ann@example.org with "correct horse"
//   PROTECTED                     a route that requires an access token; /api/notes
//   ACCESS_TOKEN_EXPIRE_MINUTES   1440, and other settings of the server

import { checkIfMain } from '../../shared/wire-check.js'
import type { Answer, WireCheck } from '../../shared/wire-check.js'

/** Compares a server with what its clients expect. */
export async function check (wire: WireCheck): Promise<void> {
  const accessLifetime = Number(wire.setting('ACCESS_TOKEN_EXPIRE_MINUTES', '1440')) * 60
  const renewWithin = Math.min(7200, accessLifetime / 2)
  const route = wire.setting('PROTECTED', '/api/notes')
  const email = wire.setting('EMAIL', 'ann@example.org')
  const password = wire.setting('PASSWORD', 'correct horse')
  const logIn = (json: object = { email, password }): Promise<Answer> =>
    wire.send('POST', '/api/login', { json })
  const open = (bearer?: unknown): Promise<Answer> => wire.send('GET', route, { bearer })

  wire.equal(
    'POST login, wrong password: status',
    (await logIn({ email, password: 'no' })).status,
    401
  )
  const upperCase = await logIn({ email: email.toUpperCase(), password })
  wire.equal('POST login, email in capitals: status', upperCase.status, 200)

  const login = await logIn()
  const { access_token: access } = login.body
  wire.equal('POST login: status', login.status, 200)
  wire.type('POST login: access_token', access, 'string')
  wire.lifetime('POST login: access token', access, accessLifetime)
  checkUser(wire, 'POST login: user', login.body.user, email)
  const me = await wire.send('GET', '/api/me', { bearer: access })
  wire.equal('GET me: status', me.status, 200)
  checkUser(wire, 'GET me', me.body, email)

  wire.equal('GET without a token: status', (await open()).status, 401)
  const page = await open(access)
  wire.equal(`GET ${route}: status`, page.status, 200)
  wire.equal(`GET ${route}, new token: x-new-token`, page.headers.get('x-new-token'), null)

  await checkRefreshToken(wire, login)
  await checkLogout(wire, await logIn(), open)

  const late = (await logIn()).body.access_token
  const variable = 'ACCESS_TOKEN_EXPIRE_MINUTES=1'

  if (await wire.expire('access token', accessLifetime - renewWithin, variable)) {
    const renewed = await open(late)
    const next = renewed.headers.get('x-new-token')
    wire.type(`GET ${route}, access token near its end: x-new-token`, next ?? undefined, 'string')
    await wire.expire('access token', renewWithin, variable)
    wire.equal(`GET ${route}, expired access token: status`, (await open(late)).status, 401)
    wire.equal(`GET ${route}, x-new-token as token: status`, (await open(next)).status, 200)
  }
}

function checkUser (wire: WireCheck, place: string, user: unknown, email: string): void {
  const { id, first_name: first, last_name: last, email_verified: verified, ...rest } = Object(
    user
  ) as Record<string, unknown>
  wire.type(`${place}.id`, id, 'number')
  wire.equal(`${place}.email`, String(rest.email).toLowerCase(), email.toLowerCase())
  wire.type(`${place}.first_name`, first, 'string', 'null')
  wire.type(`${place}.last_name`, last, 'string', 'null')
  wire.type(`${place}.email_verified`, verified, 'boolean')
}

// The client sends its refresh token as bearer token, and keeps it.
async function checkRefreshToken (wire: WireCheck, { body }: Answer): Promise<void> {
  const { refresh_token: refresh } = body
  const renew = (bearer: unknown): Promise<Answer> => wire.send('POST', '/api/refresh', { bearer })

  if (wire.setting('REFRESH_TOKEN_ENABLED', 'true') !== 'true') {
    wire.equal('POST login: refresh_token', refresh, undefined)
    wire.equal('POST refresh: status', (await renew(body.access_token)).status, 404)
    return
  }

  const lifetime = Number(wire.setting('REFRESH_TOKEN_EXPIRE_DAYS', '30')) * 86_400
  wire.type('POST login: refresh_token', refresh, 'string')
  wire.lifetime('POST login: refresh token', refresh, lifetime)

  for (const time of ['first', 'second']) {
    const answer = await renew(refresh)
    wire.equal(`POST refresh, ${time} time: status`, answer.status, 200)
    wire.type(`POST refresh, ${time} time: access_token`, answer.body.access_token, 'string')
  }

  wire.equal('POST refresh, unknown token: status', (await renew('unknown')).status, 401)
}

async function checkLogout (
  wire: WireCheck,
  { body: { access_token: access, refresh_token: refresh } }: Answer,
  open: (bearer: unknown) => Promise<Answer>
): Promise<void> {
  const logout = await wire.send('POST', '/api/logout', { bearer: access })
  wire.equal('POST logout: status', logout.status, 204)
  wire.equal('GET after a logout: status', (await open(access)).status, 401)

  if (refresh !== undefined) {
    const { status } = await wire.send('POST', '/api/refresh', { bearer: refresh })
    wire.equal('POST refresh after a logout: status', status, 401)
  }
}

await checkIfMain(import.meta.url, check)
