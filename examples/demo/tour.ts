// `npm run demo:tour`: a newcomer's whole story, played over HTTP against a demo server of its own, which is killed in the
// middle. Prints what it saw, and fails where that is not what was promised.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { SessionListResponse, TokenResponse } from 'fastify-token-auth'
import { freePort } from '../shared/free-port.js'

const GRACE = 1000
const folder = mkdtempSync(join(tmpdir(), 'token-auth-tour-'))
const port = await freePort()
const url = `http://127.0.0.1:${port}`
let server = await start()

async function start (): Promise<ChildProcess> {
  const child = spawn(process.execPath, [
    '--import',
    'tsx',
    fileURLToPath(new URL('server.ts', import.meta.url))
  ], {
    env: {
      ...process.env,
      PORT: String(port),
      DEMO_DATABASE: join(folder, 'demo.db'),
      REFRESH_GRACE: `${GRACE}ms`
    },
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const began = Date.now()
  let printed = ''
  const listens = new Promise<void>(resolve => {
    child.stdout.on('data', text => {
      printed += String(text)

      if (printed.includes('listens on')) {
        resolve()
      }
    })
  })
  await Promise.race([
    listens,
    once(child, 'exit').then(() => assert.fail(`the server did not start: ${printed}`))
  ])
  console.log(`- the server started in ${Date.now() - began} ms`)
  return child
}

interface Answer<Body> {
  readonly status: number
  readonly body: Body & { readonly code?: string }
}

async function send<Body = object> (
  method: string,
  path: string,
  given: { json?: object, form?: Record<string, string>, access?: string } = {}
): Promise<Answer<Body>> {
  const { json, form, access } = given
  const response = await fetch(url + path, {
    method,
    headers: {
      ...(json && { 'content-type': 'application/json' }),
      ...(access !== undefined && { authorization: `Bearer ${access}` })
    },
    ...(json && { body: JSON.stringify(json) }),
    ...(form && { body: new URLSearchParams(form) })
  })
  const text = await response.text()
  return { status: response.status, body: text === '' ? {} : JSON.parse(text) }
}

function saw (
  what: string,
  { status, body }: Answer<object>,
  expected: number,
  code?: string
): void {
  console.log(`- ${what}: ${status}${body.code === undefined ? '' : ` ${body.code}`}`)
  assert.equal(status, expected, what)
  assert.equal(body.code, code, what)
}

const ann = { username: 'ann', password: 'correct horse' }
const login = (): Promise<Answer<TokenResponse>> => send('POST', '/auth/login', { json: ann })
const refresh = (token?: string): Promise<Answer<TokenResponse>> =>
  send('POST', '/auth/refresh', { json: { refresh_token: token } })

try {
  saw('register', await send('PUT', '/register', { json: ann }), 201)
  saw('register the same name', await send('PUT', '/register', { json: ann }), 409)
  saw(
    'log in with a wrong password',
    await send('POST', '/auth/login', { json: { ...ann, password: 'wrong' } }),
    401,
    'AUTH_CREDENTIALS_REJECTED'
  )
  const byForm = await send<TokenResponse>('POST', '/auth/login', {
    form: { ...ann, grant_type: 'password' }
  })
  saw('log in by form', byForm, 200)
  const byJson = await login()
  saw('log in by JSON', byJson, 200)
  const access = byJson.body.access_token
  saw('a protected route', await send('GET', '/protected', { access }), 200)
  saw('the same without a token', await send('GET', '/protected'), 401, 'AUTH_ACCESS_MISSING')
  saw('a route for admins', await send('GET', '/admin', { access }), 200)
  await send('PUT', '/register', { json: { ...ann, username: 'bob' } })
  const bob = await send<TokenResponse>('POST', '/auth/login', {
    json: { ...ann, username: 'bob' }
  })
  saw(
    'the same by somebody else',
    await send('GET', '/admin', { access: bob.body.access_token }),
    403
  )

  const first = byJson.body.refresh_token
  const [one, two] = await Promise.all([refresh(first), refresh(first)])
  saw('refresh', one, 200)
  saw('refresh by another tab at once', two, 200)
  assert.equal(one.body.refresh_token, two.body.refresh_token)
  console.log('  both got the same refresh token')
  const second = one.body.refresh_token

  server.kill('SIGKILL')
  await once(server, 'exit')
  console.log('- the server was killed')
  server = await start()
  saw(
    'a protected route, after the kill',
    await send('GET', '/protected', { access: one.body.access_token }),
    200
  )
  await sleep(GRACE)
  const third = await refresh(second)
  saw('refresh, after the kill', third, 200)
  assert.notEqual(third.body.refresh_token, second)

  saw(
    'an old refresh token, as a thief would present it',
    await refresh(first),
    401,
    'AUTH_REFRESH_REUSED'
  )
  saw('the newest one, now', await refresh(third.body.refresh_token), 401, 'AUTH_REFRESH_REVOKED')
  saw('the other login of the same user', await refresh(byForm.body.refresh_token), 200)

  const here = await login()
  const list = await send<SessionListResponse>('GET', '/auth/sessions', {
    access: here.body.access_token
  })
  saw('sessions', list, 200)
  assert.equal(list.body.sessions.length, 2)

  for (const { ip, user_agent: agent, current } of list.body.sessions) {
    console.log(`  ${ip} ${agent}${current ? ' (this one)' : ''}`)
  }

  saw('me', await send('GET', '/auth/me', { access: here.body.access_token }), 200)
  saw(
    'log out',
    await send('POST', '/auth/logout', { json: { refresh_token: here.body.refresh_token } }),
    204
  )
  saw(
    'its access token, at once',
    await send('GET', '/protected', { access: here.body.access_token }),
    401,
    'AUTH_SESSION_REVOKED'
  )

  const last = await login()
  saw(
    'log out everywhere',
    await send('POST', '/auth/logout/all', { access: last.body.access_token }),
    204
  )
  saw('its refresh token', await refresh(last.body.refresh_token), 401, 'AUTH_REFRESH_REVOKED')
  saw('bob, all the while', await refresh(bob.body.refresh_token), 200)
  console.log('The tour is over: everything was as promised.')
} finally {
  server.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
}
