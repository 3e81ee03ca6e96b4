// Sends the requests of a rotating-pair client to a server, and prints what differs:
//
//   npx tsx examples/migrate-from/rotating-pair/check.ts http://127.0.0.1:8000
//
//   USERNAME, PASSWORD            an existing user; ann with "correct horse"
//   PROTECTED                     a route that requires an access token; /api/v1/orders
//   ACCESS_TOKEN_EXPIRE_MINUTES   30, and other settings of the server

import { checkIfMain } from '../../shared/wire-check.js'
import type { Answer, WireCheck } from '../../shared/wire-check.js'

const AUTH = '/api/v1/auth'

/** Compares a server with what its clients expect. */
export async function check (wire: WireCheck): Promise<void> {
  const accessLifetime = Number(wire.setting('ACCESS_TOKEN_EXPIRE_MINUTES', '30')) * 60
  const refreshLifetime = Number(wire.setting('REFRESH_TOKEN_EXPIRE_DAYS', '7')) * 86_400
  const route = wire.setting('PROTECTED', '/api/v1/orders')
  const username = wire.setting('USERNAME', 'ann')
  const password = wire.setting('PASSWORD', 'correct horse')
  const logIn = (): Promise<Answer> =>
    wire.send('POST', `${AUTH}/login`, { json: { username, password, device: 'check' } })
  const renew = (refresh: unknown): Promise<Answer> =>
    wire.send('POST', `${AUTH}/refresh`, { json: { refresh_token: refresh } })

  const rejected = await wire.send('POST', `${AUTH}/login`, { json: { username, password: 'no' } })
  wire.equal('POST login, wrong password: status', rejected.status, 401)

  const first = await logIn()
  checkPair(wire, 'POST login', first, accessLifetime, refreshLifetime)
  wire.equal('GET without a token: status', (await wire.send('GET', route)).status, 401)

  const next = await renew(first.body.refresh_token)
  checkPair(wire, 'POST refresh', next, accessLifetime, refreshLifetime)
  const isNew = next.body.refresh_token !== first.body.refresh_token
  wire.ok('POST refresh: refresh_token is the old one, expected a new one', isNew)
  const page = await wire.send('GET', route, { bearer: next.body.access_token })
  wire.equal(`GET ${route}, refreshed token: status`, page.status, 200)
  wire.equal('POST refresh, unknown token: status', (await renew('unknown')).status, 401)

  const { access_token: access, refresh_token: refresh } = next.body
  const json = { refresh_token: refresh }
  const logout = await wire.send('POST', `${AUTH}/logout`, { json, bearer: access })
  wire.equal('POST logout: status', logout.status, 204)
  wire.equal('POST refresh after a logout: status', (await renew(refresh)).status, 401)
  const late = await wire.send('GET', route, { bearer: access })
  wire.equal(`GET ${route} after a logout: status`, late.status, 401)

  await checkLogoutAll(wire, logIn, renew)
  const last = (await logIn()).body

  if (await wire.expire('access token', accessLifetime, 'ACCESS_TOKEN_EXPIRE_MINUTES=1')) {
    const expired = await wire.send('GET', route, { bearer: last.access_token })
    wire.equal(`GET ${route}, expired access token: status`, expired.status, 401)
    wire.equal('POST refresh after it: status', (await renew(last.refresh_token)).status, 200)
  }

  const idle = (await logIn()).body

  if (await wire.expire('refresh token', refreshLifetime, 'REFRESH_TOKEN_EXPIRE_DAYS=0.001')) {
    const expired = await renew(idle.refresh_token)
    wire.equal('POST refresh, expired refresh token: status', expired.status, 401)
  }
}

function checkPair (
  wire: WireCheck,
  place: string,
  answer: Answer,
  accessLifetime: number,
  refreshLifetime: number
): void {
  wire.pair(place, answer, accessLifetime, refreshLifetime)
  wire.equal(`${place}: token_type`, answer.body.token_type, 'bearer')
}

// Clients send the refresh token, the access token, or both.
async function checkLogoutAll (
  wire: WireCheck,
  logIn: () => Promise<Answer>,
  renew: (refresh: unknown) => Promise<Answer>
): Promise<void> {
  for (const by of ['refresh token', 'access token']) {
    const [{ body: one }, { body: other }] = [await logIn(), await logIn()]
    const sent = by === 'refresh token'
      ? { json: { refresh_token: one.refresh_token } }
      : { bearer: one.access_token }
    const all = await wire.send('POST', `${AUTH}/logout/all`, sent)
    wire.equal(`POST logout/all by ${by}: status`, all.status, 204)
    const { status } = await renew(other.refresh_token)
    wire.equal(`POST refresh of another session after logout/all by ${by}: status`, status, 401)
  }
}

await checkIfMain(import.meta.url, check)
