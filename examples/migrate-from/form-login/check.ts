// Sends the requests of a form-login client to a server, and prints what differs:
//
//   npx tsx examples/migrate-from/form-login/check.ts http://127.0.0.1:8000
//
//   USERNAME, EMAIL, PASSWORD     an existing user; without USERNAME, the script registers one
//   PROTECTED                     a route that requires an access token; /protected
//   ACCESS_TOKEN_EXPIRE_MINUTES   15, and other settings of the server

import { randomUUID } from 'node:crypto'
import { checkIfMain, readClaims } from '../../shared/wire-check.js'
import type { WireCheck } from '../../shared/wire-check.js'

/** Compares a server with what its clients expect. */
export async function check (wire: WireCheck): Promise<void> {
  const accessLifetime = Number(wire.setting('ACCESS_TOKEN_EXPIRE_MINUTES', '15')) * 60
  const refreshLifetime = Number(wire.setting('REFRESH_TOKEN_EXPIRE_DAYS', '7')) * 86_400
  const isRefreshable = wire.setting('REFRESH_TOKEN_ENABLED', 'true') === 'true'
  const route = wire.setting('PROTECTED', '/protected')
  const password = wire.setting('PASSWORD', 'correct horse')
  const known = wire.setting('USERNAME', '')
  const username = known || `check-${randomUUID()}`
  const email = wire.setting('EMAIL', known === '' ? `${username}@example.org` : '')

  if (known === '') {
    const json = { username, email, password }
    wire.equal('PUT /register: status', (await wire.send('PUT', '/register', { json })).status, 201)
    const again = await wire.send('PUT', '/register', { json })
    wire.equal('PUT /register, a second time: status', again.status, 409)
    wire.type('PUT /register, a second time: detail', again.body.detail, 'string')
  }

  // Form of OAuth2PasswordRequestForm
  const form = { grant_type: 'password', username, password, scope: '', client_id: '' }
  const login = await wire.send('POST', '/login', { form })
  const { access_token: access, refresh_token: refresh } = login.body
  wire.equal('POST /login: status', login.status, 200)
  wire.type('POST /login: access_token', access, 'string')
  wire.equal('POST /login: token_type', login.body.token_type, 'bearer')
  wire.equal('POST /login: sub of the access token', readClaims(access).sub, username)
  wire.lifetime('POST /login: access token', access, accessLifetime)

  if (email !== '') {
    const byEmail = await wire.send('POST', '/login', { form: { ...form, username: email } })
    wire.equal('POST /login with the email: status', byEmail.status, 200)
    const { sub } = readClaims(byEmail.body.access_token)
    wire.equal('POST /login with the email: sub of the access token', sub, username)
  }

  const rejected = await wire.send('POST', '/login', { form: { ...form, password: 'wrong' } })
  wire.equal('POST /login, wrong password: status', rejected.status, 401)
  wire.type('POST /login, wrong password: detail', rejected.body.detail, 'string')

  const page = await wire.send('GET', route, { bearer: access })
  wire.equal(`GET ${route}: status`, page.status, 200)

  for (const bearer of [undefined, 'broken', refresh]) {
    const answer = await wire.send('GET', route, { bearer })
    const place = `GET ${route} without an access token`
    wire.equal(`${place}: status`, answer.status, 401)
    wire.type(`${place}: detail`, answer.body.detail, 'string')
    const challenge = answer.headers.get('www-authenticate') ?? ''
    wire.ok(`${place}: www-authenticate must begin with Bearer`, challenge.startsWith('Bearer'))
  }

  if (!isRefreshable) {
    wire.equal('POST /login: refresh_token', refresh, undefined)
    return
  }

  wire.type('POST /login: refresh_token', refresh, 'string')
  wire.lifetime('POST /login: refresh token', refresh, refreshLifetime)
  // The client keeps its refresh token, so the same one must work again.
  await checkRefresh(wire, refresh, username, accessLifetime)
  await checkRefresh(wire, refresh, username, accessLifetime)
  const crossed = await wire.send('POST', '/refresh', { json: { refresh_token: access } })
  wire.equal('POST /refresh with an access token: status', crossed.status, 401)
  wire.type('POST /refresh with an access token: detail', crossed.body.detail, 'string')

  if (await wire.expire('access token', accessLifetime, 'ACCESS_TOKEN_EXPIRE_MINUTES=1')) {
    const late = await wire.send('GET', route, { bearer: access })
    wire.equal(`GET ${route}, expired access token: status`, late.status, 401)
    await checkRefresh(wire, refresh, username, accessLifetime)
  }

  if (await wire.expire('refresh token', refreshLifetime, 'REFRESH_TOKEN_EXPIRE_DAYS=0.001')) {
    const late = await wire.send('POST', '/refresh', { json: { refresh_token: refresh } })
    wire.equal('POST /refresh, expired refresh token: status', late.status, 401)
    wire.type('POST /refresh, expired refresh token: detail', late.body.detail, 'string')
  }
}

async function checkRefresh (
  wire: WireCheck,
  refresh: unknown,
  username: string,
  lifetime: number
): Promise<void> {
  const { status, body } = await wire.send('POST', '/refresh', { json: { refresh_token: refresh } })
  wire.equal('POST /refresh: status', status, 200)
  wire.equal('POST /refresh: message', body.message, 'Token refreshed successfully')
  wire.equal('POST /refresh: token_type', body.token_type, 'bearer')
  wire.equal('POST /refresh: refresh_token', body.refresh_token, undefined)
  wire.equal('POST /refresh: sub of the access token', readClaims(body.access_token).sub, username)
  wire.lifetime('POST /refresh: access token', body.access_token, lifetime)
}

await checkIfMain(import.meta.url, check)
