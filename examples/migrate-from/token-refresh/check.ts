// Sends the requests of a token-refresh client to a server, and prints what differs:
//
//   npx tsx examples/migrate-from/token-refresh/check.ts http://127.0.0.1:8000
//
//   USERNAME, PASSWORD            an existing user; ann with "correct horse"
//   PROTECTED                     a route that requires an access token; /reports
//   ACCESS_TOKEN_EXPIRE_MINUTES   15, and other settings of the server

import { checkIfMain } from '../../shared/wire-check.js'
import type { Answer, WireCheck } from '../../shared/wire-check.js'

/** Compares a server with what its clients expect. */
export async function check (wire: WireCheck): Promise<void> {
  const accessLifetime = Number(wire.setting('ACCESS_TOKEN_EXPIRE_MINUTES', '15')) * 60
  const refreshLifetime = Number(wire.setting('REFRESH_TOKEN_EXPIRE_DAYS', '30')) * 86_400
  const route = wire.setting('PROTECTED', '/reports')
  const username = wire.setting('USERNAME', 'ann')
  const password = wire.setting('PASSWORD', 'correct horse')
  const logIn = (): Promise<Answer> =>
    wire.send('POST', '/auth/login', { json: { username, password } })
  // The interceptor also adds the old access token to its refresh.
  const renew = (refresh: unknown, bearer?: unknown): Promise<Answer> =>
    wire.send('POST', '/auth/token/refresh', { json: { refresh_token: refresh }, bearer })

  const wrong = { json: { username, password: 'no' } }
  checkRefusal(
    wire,
    'POST login, wrong password',
    await wire.send('POST', '/auth/login', wrong),
    401
  )

  const first = await logIn()
  checkPair(wire, 'POST login', first, accessLifetime, refreshLifetime)
  const next = await renew(first.body.refresh_token, first.body.access_token)
  checkPair(wire, 'POST token/refresh', next, accessLifetime, refreshLifetime)
  const isNew = next.body.refresh_token !== first.body.refresh_token
  wire.ok('POST token/refresh: refresh_token is the old one, expected a new one', isNew)
  const { access_token: access, refresh_token: refresh } = next.body
  const page = await wire.send('GET', route, { bearer: access })
  wire.equal(`GET ${route}, refreshed token: status`, page.status, 200)

  // A refused refresh must not be 401, or the interceptor refreshes again without end.
  checkRefusal(wire, 'POST token/refresh, unknown token', await renew('unknown', 'unknown'), 400)
  checkRefusal(wire, 'POST token/refresh, no token', await renew(undefined, 'undefined'), 400)
  const unknown = await wire.send('GET', route, { bearer: 'unknown' })
  checkRefusal(wire, `GET ${route}, unknown access token`, unknown, 401, 'Token expired')

  const json = { refresh_token: refresh }
  const logout = await wire.send('POST', '/auth/logout', { json, bearer: access })
  wire.equal('POST logout: status', logout.status, 204)
  const ended = await wire.send('GET', route, { bearer: access })
  checkRefusal(wire, `GET ${route} after a logout`, ended, 401, 'Token expired')
  checkRefusal(wire, 'POST token/refresh after a logout', await renew(refresh, access), 400)

  const [{ body: one }, { body: other }] = [await logIn(), await logIn()]
  const all = { json: { refresh_token: one.refresh_token } }
  const logoutAll = await wire.send('POST', '/auth/logout/all', all)
  wire.equal('POST logout/all by refresh token: status', logoutAll.status, 204)
  checkRefusal(wire, 'POST token/refresh after logout/all', await renew(other.refresh_token), 400)

  const last = (await logIn()).body

  if (await wire.expire('access token', accessLifetime, 'ACCESS_TOKEN_EXPIRE_MINUTES=1')) {
    const expired = await wire.send('GET', route, { bearer: last.access_token })
    checkRefusal(wire, `GET ${route}, expired access token`, expired, 401, 'Token expired')
  }

  if (await wire.expire('refresh token', refreshLifetime, 'REFRESH_TOKEN_EXPIRE_DAYS=0.001')) {
    const expired = await renew(last.refresh_token, last.access_token)
    const place = 'POST token/refresh, expired refresh token'
    checkRefusal(wire, place, expired, 400, 'Token expired')
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
  wire.equal(`${place}: expires_in`, answer.body.expires_in, accessLifetime)
}

function checkRefusal (
  wire: WireCheck,
  place: string,
  { status, body }: Answer,
  expected: number,
  detail?: string
): void {
  wire.equal(`${place}: status`, status, expected)

  if (detail === undefined) {
    wire.type(`${place}: detail`, body.detail, 'string')
  } else {
    wire.equal(`${place}: body`, body, { detail })
  }
}

await checkIfMain(import.meta.url, check)
