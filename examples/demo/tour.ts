// A tour of all features over HTTP: npm run demo:tour It starts a demo server of its own, kills it
// in the middle, and fails if a response is unexpected.

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
import { findFreePort } from '../shared/free-port.js'

const GRACE = 1000
const folder = mkdtempSync(join(tmpdir(), 'token-auth-tour-'))
const port = await findFreePort()
const url = `http://127.0.0.1:${port}`
let server = await startServer()

async function startServer (): Promise<ChildProcess> {
  const script = fileURLToPath(new URL('server.ts', import.meta.url))
  const child = spawn(process.execPath, ['--import', 'tsx', script], {
    env: {
      ...process.env,
      PORT: String(port),
      DEMO_DATABASE: join(folder, 'demo.db'),
      REFRESH_GRACE: `${GRACE}ms`
    },
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const startedAt = Date.now()
  let output = ''
  const listening = new Promise<void>(resolve => {
    child.stdout.on('data', chunk => {
      output += String(chunk)

      if (output.includes('listens on')) {
        resolve()
      }
    })
  })
  const exited = once(child, 'exit').then(() => assert.fail(`server did not start: ${output}`))
  await Promise.race([listening, exited])
  console.log(`- server started in ${Date.now() - startedAt} ms`)
  return child
}

interface Result<Body> {
  readonly status: number
  readonly body: Body & { readonly code?: string }
}

interface RequestParts {
  readonly json?: object
  readonly form?: Record<string, string>
  readonly accessToken?: string
}

async function send<Body = object> (
  method: string,
  path: string,
  { json, form, accessToken }: RequestParts = {}
): Promise<Result<Body>> {
  const response = await fetch(url + path, {
    method,
    headers: {
      ...(json && { 'content-type': 'application/json' }),
      ...(accessToken !== undefined && { authorization: `Bearer ${accessToken}` })
    },
    ...(json && { body: JSON.stringify(json) }),
    ...(form && { body: new URLSearchParams(form) })
  })
  const body = await response.text()
  return { status: response.status, body: body === '' ? {} : JSON.parse(body) }
}

function expectResult (
  step: string,
  { status, body }: Result<object>,
  expectedStatus: number,
  expectedCode?: string
): void {
  console.log(`- ${step}: ${status}${body.code === undefined ? '' : ` ${body.code}`}`)
  assert.equal(status, expectedStatus, step)
  assert.equal(body.code, expectedCode, step)
}

const ann = { username: 'ann', password: 'correct horse' }
const bob = { username: 'bob', password: 'correct horse' }
const login = (json: object): Promise<Result<TokenResponse>> =>
  send('POST', '/auth/login', { json })
const refresh = (token?: string): Promise<Result<TokenResponse>> =>
  send('POST', '/auth/refresh', { json: { refresh_token: token } })
const callProtected = (accessToken?: string): Promise<Result<object>> =>
  send('GET', '/protected', accessToken === undefined ? {} : { accessToken })

try {
  expectResult('sign up', await send('PUT', '/register', { json: ann }), 201)
  expectResult('sign up with a taken name', await send('PUT', '/register', { json: ann }), 409)
  expectResult(
    'log in with a wrong password',
    await login({ ...ann, password: 'wrong' }),
    401,
    'AUTH_CREDENTIALS_REJECTED'
  )
  const formLogin = await send<TokenResponse>('POST', '/auth/login', {
    form: { ...ann, grant_type: 'password' }
  })
  expectResult('log in with a form', formLogin, 200)
  const jsonLogin = await login(ann)
  expectResult('log in with JSON', jsonLogin, 200)
  const { access_token: accessToken } = jsonLogin.body
  expectResult('call a protected route', await callProtected(accessToken), 200)
  expectResult('call it without a token', await callProtected(), 401, 'AUTH_ACCESS_MISSING')
  expectResult('call a route for admins', await send('GET', '/admin', { accessToken }), 200)
  await send('PUT', '/register', { json: bob })
  const bobLogin = await login(bob)
  expectResult(
    'call it as another user',
    await send('GET', '/admin', { accessToken: bobLogin.body.access_token }),
    403,
    'AUTH_CLAIMS_INSUFFICIENT'
  )

  const firstToken = jsonLogin.body.refresh_token
  const [one, two] = await Promise.all([refresh(firstToken), refresh(firstToken)])
  expectResult('refresh', one, 200)
  expectResult('refresh concurrently in another tab', two, 200)
  assert.equal(one.body.refresh_token, two.body.refresh_token)
  console.log('  both tabs got the same refresh token')
  const secondToken = one.body.refresh_token

  server.kill('SIGKILL')
  await once(server, 'exit')
  console.log('- server was killed')
  server = await startServer()
  expectResult(
    'call a protected route after the restart',
    await callProtected(one.body.access_token),
    200
  )
  await sleep(GRACE)
  const third = await refresh(secondToken)
  expectResult('refresh after the restart', third, 200)
  assert.notEqual(third.body.refresh_token, secondToken)

  expectResult(
    'present an outdated refresh token, as an attacker would',
    await refresh(firstToken),
    401,
    'AUTH_REFRESH_REUSED'
  )
  expectResult(
    'present the newest refresh token of that session',
    await refresh(third.body.refresh_token),
    401,
    'AUTH_REFRESH_REVOKED'
  )
  expectResult(
    'refresh another session of the same user',
    await refresh(formLogin.body.refresh_token),
    200
  )

  const thisDevice = (await login(ann)).body
  const list = await send<SessionListResponse>('GET', '/auth/sessions', {
    accessToken: thisDevice.access_token
  })
  expectResult('list sessions', list, 200)
  assert.equal(list.body.sessions.length, 2)

  for (const { ip, user_agent: agent, current } of list.body.sessions) {
    console.log(`  ${ip} ${agent}${current ? ' (this session)' : ''}`)
  }

  expectResult(
    'read the current user',
    await send('GET', '/auth/me', { accessToken: thisDevice.access_token }),
    200
  )
  expectResult(
    'log out',
    await send('POST', '/auth/logout', { json: { refresh_token: thisDevice.refresh_token } }),
    204
  )
  expectResult(
    'use its access token immediately afterwards',
    await callProtected(thisDevice.access_token),
    401,
    'AUTH_SESSION_REVOKED'
  )

  const lastLogin = await login(ann)
  expectResult(
    'log out everywhere',
    await send('POST', '/auth/logout/all', { accessToken: lastLogin.body.access_token }),
    204
  )
  expectResult(
    'use its refresh token',
    await refresh(lastLogin.body.refresh_token),
    401,
    'AUTH_REFRESH_REVOKED'
  )
  expectResult('refresh a session of another user', await refresh(bobLogin.body.refresh_token), 200)
  console.log('The tour succeeded.')
} finally {
  server.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
}
