import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { sendRequest } from '../../src/cli/doctor/http.js'
import { runCli } from '../helpers/cli.js'
import { CLIENT_ADDRESS, credentials, deploy, PAGE_ORIGIN } from '../helpers/deployment.js'
import type { DeploymentOptions } from '../helpers/deployment.js'
import { inBody, keys, originArgs } from './faulty-deployments.js'

const sound: Readonly<Record<string, DeploymentOptions>> = {
  'with cookies': {},
  'with cookies for all tokens': {
    options: { cookie: { origins: [PAGE_ORIGIN], accessToken: true } }
  },
  'with tokens in the body': { options: inBody },
  'with both transports': {
    options: { refreshToken: { transport: 'both' }, cookie: { origins: [PAGE_ORIGIN] } }
  },
  'with the defaults, whose pages use no cookies': {
    options: { refreshToken: {}, cookie: {} },
    cors: { credentials: false }
  },
  'with key pairs': { options: keys },
  'with DPoP': { options: { dpop: true } },
  'with CORS for all without cookies': {
    options: inBody,
    cors: { origin: '*', credentials: false }
  },
  'that trusts one hop': { trustProxy: (_address: string, hop: number) => hop < 1 }
}

for (const [title, deployment] of Object.entries(sound)) {
  t.test(`doctor reports nothing for a sound deployment ${title}`, async t => {
    const { doctor, store } = await deploy(t, deployment)

    for (
      const args of [['--origin', 'https://api.example.test'], originArgs, ['--login'], [
        ...originArgs,
        '--login'
      ]]
    ) {
      const { code, out, json } = await doctor([...args, '--json'], { env: credentials })
      t.strictSame(json().findings, [], `${args.join(' ')}: ${out}`)
      t.equal(code, 0)
      t.strictSame(
        json().facts,
        args.includes('--login') ? [`The app saw the client address ${CLIENT_ADDRESS}.`] : []
      )
    }

    const live = await store.list('auth', 'u-ann', { now: Date.now(), limit: 9 })
    t.strictSame(live, [], 'the sessions of the doctor are revoked')
  })
}

t.test('doctor accepts SameSite=None if a page of another site is named', async t => {
  const { doctor } = await deploy(t, {
    options: { cookie: { origins: [PAGE_ORIGIN], sameSite: 'none' } }
  })
  const { code, out } = await doctor(originArgs)
  t.equal(code, 0, out)
})

t.test('doctor reports nothing for an app on localhost without a proxy', async t => {
  const { app, doctor } = await deploy(t, { trustProxy: false })
  const url = `${app.listeningOrigin}/auth/`
  const { code, out } = await doctor([...originArgs, '--login'], {
    url,
    sendRequest,
    env: credentials
  })
  t.equal(out.split('\n')[2], 'No findings.', out)
  t.equal(code, 0)
})

t.test('doctor finds moved routes and cookies with another name', async t => {
  const { doctor } = await deploy(t, {
    options: {
      name: 'staff',
      routes: { refresh: '/token/refresh', logout: '/out' },
      cookie: { sameSite: 'none' }
    }
  })
  const args = ['--route', 'refresh=/token/refresh', '--route', 'logout=/out', '--name', 'staff']
  const { code, out } = await doctor(args)
  t.equal(code, 1)
  t.match(
    out,
    /^cookie-same-site: Cookie .+: __Host-staff-refresh\.\n {2}Consequence: .+\n {2}Fix: .+\n\n1 find/m
  )
})

t.test('doctor exits with 3 if the deployment does not respond', async t => {
  const { doctor } = await deploy(t)
  const { code, error } = await doctor([], { url: 'http://127.0.0.1:1/auth', sendRequest })
  t.equal(code, 3)
  t.equal(error, 'fastify-token-auth: the deployment does not respond (ECONNREFUSED)\n')
})

t.test('doctor prints no control characters of the deployment', async t => {
  const { doctor } = await deploy(t, {
    change (response) {
      response.status = 302
      response.headers = { location: '/\u009B2J' }
    }
  })
  const { out } = await doctor()
  t.match(out, 'redirected to /\uFFFD2J')
})

t.test('doctor prints strings of the deployment on one line, and not more than a part', async t => {
  const kid = `x\n\nNo findings.\u202E\u009B${'k'.repeat(400)}`
  const { doctor } = await deploy(t, {
    options: keys,
    change (response, path) {
      if (path.endsWith('/jwks.json')) {
        response.body = JSON.stringify({ keys: [{ kid, d: 'secret' }] })
      }
    }
  })
  const { out } = await doctor()
  t.match(out, '"x\uFFFD\uFFFDNo findings.\uFFFD\uFFFDkkk')
  t.notOk(out.split('\n').includes('No findings.'))
  t.ok(out.length < 1000)
})

t.test('doctor reports a deployment that switches protocols', async t => {
  const server = createServer()
  server.on('connection', socket => {
    socket.on('error', () => {})
    socket.on('data', () => {
      socket.write('HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n')
    })
  })
  await new Promise<void>(resolve => {
    server.listen(0, '127.0.0.1', resolve)
  })
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const { code, out } = await runCli(['doctor', `http://127.0.0.1:${port}/auth`])
  t.equal(code, 1)
  t.match(out, 'unexpected-response: POST refresh returned status 101')
})

t.test('doctor reports a login whose response has no usable tokens', async t => {
  for (const token of [5, 'a\u0001b', {}]) {
    const { doctor } = await deploy(t, {
      change (response, path) {
        if (path.endsWith('/login')) {
          response.body = JSON.stringify({ access_token: token })
        }
      }
    })
    const { code, out } = await doctor(['--login'], { env: credentials })
    t.equal(code, 1)
    t.match(out, /^login-failed: .*status 200/m)
  }
})
