// These tests install Jest, Metro, Bun and Deno from the registry into a temporary folder. There,
// the packed client signs in at a server of this process.

import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import type { Test } from 'tap'
import { createTestApp, PASSWORD } from '../helpers/app.js'
import type { TestApp } from '../helpers/app.js'
import { createChildEnv } from '../helpers/child-env.js'
import { packPackage } from '../helpers/package-archive.js'

const run = promisify(execFile)
const TOOLS = [
  'jest@30',
  'jest-environment-jsdom@30',
  'metro@0.87',
  '@react-native/babel-preset',
  'bun@1',
  'deno@2'
]
const UNREACHABLE = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENOTCACHED|ENETUNREACH/

/** Folder with the tools and the packed package, or the reason why there is none. */
async function install (t: Test): Promise<{ folder: string } | { skip: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'token-auth-runtimes-'))
  t.teardown(() => {
    rmSync(folder, { recursive: true })
  })
  // Without "type", as Jest and Metro create projects.
  writeFileSync(join(folder, 'package.json'), '{ "private": true }')

  try {
    await run(
      'npm',
      ['install', '--no-audit', '--no-fund', '--prefer-offline', '--fetch-retries=1', ...TOOLS],
      { cwd: folder, env: createChildEnv() }
    )
  } catch (error) {
    const { stderr = '' } = error as { stderr?: string }

    if (process.env.CI === undefined && UNREACHABLE.test(stderr)) {
      return { skip: 'the npm registry is not reachable, and has Jest, Metro, Bun and Deno' }
    }

    throw error
  }

  // The client has no dependencies, so that its files are enough.
  const target = join(folder, 'node_modules/fastify-token-auth')
  mkdirSync(target)
  const { tarball } = packPackage(folder)
  await run('tar', ['-xzf', tarball, '-C', target, '--strip-components=1'])
  return { folder }
}

async function startServer (t: Test): Promise<TestApp & { readonly url: string }> {
  const server = await createTestApp()
  t.teardown(() => server.app.close())
  await server.app.listen({ host: '127.0.0.1', port: 0, listenTextResolver: () => '' })
  const { port } = server.app.server.address() as AddressInfo
  return { ...server, url: `http://127.0.0.1:${port}` }
}

/** Code after the imports. It leaves the user signed in, and the script still ends by itself. */
const createSession = (url: string): string => `
  const auth = createAuthClient({ baseUrl: '${url}', storage: 'memory' })
  const error = await auth.login({ username: 'ann', password: 'wrong' }).catch(error => error)
  await auth.login({ username: 'ann', password: '${PASSWORD}' })
  const token = await auth.getAccessToken()
  await auth.refresh()
  const { userId } = await (await auth.fetch('/protected')).json()
  const result = {
    userId,
    code: error instanceof AuthError && error.code,
    isRefreshed: token !== await auth.getAccessToken(),
    hasDpop: typeof createDpopFetch
  }`

const expected = {
  userId: 'u-ann',
  code: 'AUTH_CREDENTIALS_REJECTED',
  isRefreshed: true,
  hasDpop: 'function'
}

const imports = `
  import { AuthError, createAuthClient } from 'fastify-token-auth/client'
  import { createDpopFetch } from 'fastify-token-auth/client/dpop'`

const requires = `
  const { AuthError, createAuthClient } = require('fastify-token-auth/client')
  const { createDpopFetch } = require('fastify-token-auth/client/dpop')`

const printResult = 'console.log(JSON.stringify(result))'
const asFunction = (code: string): string => `\nasync function run () {${code}}\nrun()`

/** Bundles `entry.js`, with the resolver and the syntax of React Native. */
const metroScript = `
  const { dirname } = require('node:path')
  const Metro = require('metro')
  Metro.loadConfig({ cwd: __dirname }, {
    projectRoot: __dirname,
    watchFolders: [dirname(__dirname)],
    reporter: { update () {} },
    resolver: {
      resolverMainFields: ['react-native', 'browser', 'main'],
      unstable_enablePackageExports: process.argv[2] === 'true',
      useWatchman: false
    }
  }).then(config => Metro.runBuild(config, {
    entry: 'entry.js', platform: 'android', dev: false, minify: false, out: __dirname + '/bundle.js'
  }))`

t.test('tools that resolve the packed client', async t => {
  const installed = await install(t)

  if ('skip' in installed) {
    t.pass(installed.skip, { skip: installed.skip })
    return
  }

  const { folder } = installed
  const env = createChildEnv({ DENO_DIR: join(folder, 'deno'), DENO_NO_UPDATE_CHECK: '1' })

  const execute = async (command: string, ...args: readonly string[]): Promise<string> => {
    const path = command === 'node' ? process.execPath : join(folder, 'node_modules/.bin', command)
    const { stdout } = await run(path, args, { cwd: folder, env, timeout: 60_000 })
    return stdout
  }

  const write = (file: string, code: string): void => {
    writeFileSync(join(folder, file), code)
  }

  const expectSession = (t: Test, { events }: TestApp, output: string): void => {
    t.strictSame(JSON.parse(output), expected)
    t.strictSame(events.map(({ name }) => name), ['login-rejected', 'login', 'refresh'])
  }

  for (const environment of ['node', 'jsdom']) {
    await t.test(`Jest requires the client in the environment ${environment}`, async t => {
      const server = await startServer(t)
      // jsdom has no fetch, so that apps add the one of Node or a mock.
      write(
        'environment.js',
        `const { TestEnvironment } = require('jest-environment-${environment}')
        const { Headers, Request, Response, TextDecoder, TextEncoder } = globalThis
        module.exports = class extends TestEnvironment {
          async setup () {
            await super.setup()
            const { AbortController, AbortSignal } = globalThis
            const cancel = { AbortController, AbortSignal }
            const encoding = { TextDecoder, TextEncoder }
            const http = { fetch, Headers, Request, Response }
            Object.assign(this.global, { ...http, ...cancel, ...encoding })
          }
        }`
      )
      write(
        'client.test.js',
        `${requires}
        test('session', async () => {
          ${createSession(server.url)}
          require('node:fs').writeFileSync('result.json', JSON.stringify(result))
        })`
      )
      const args = ['--testEnvironment=./environment.js', '--testRegex=client.test.js']
      await execute('jest', `--rootDir=${folder}`, ...args)
      expectSession(t, server, readFileSync(join(folder, 'result.json'), 'utf8'))
    })
  }

  mkdirSync(join(folder, 'native'))
  write('native/babel.config.js', 'module.exports = { presets: ["@react-native/babel-preset"] }')
  write('native/metro.js', metroScript)

  for (const hasExports of [true, false]) {
    await t.test(`Metro bundles the client ${hasExports ? 'by' : 'without'} exports`, async t => {
      const server = await startServer(t)
      write('native/entry.js', imports + asFunction(createSession(server.url) + '\n' + printResult))
      await execute('node', 'native/metro.js', String(hasExports))
      expectSession(t, server, await execute('node', 'native/bundle.js'))
    })
  }

  const runtimes = [
    ['bun', 'run'],
    ['deno', 'run', '--allow-all', '--node-modules-dir=manual']
  ] as const

  for (const [command, ...args] of runtimes) {
    await t.test(`${command} imports the client, and ends by itself`, async t => {
      const server = await startServer(t)
      write('session.mjs', `${imports}${createSession(server.url)}\n${printResult}`)
      expectSession(t, server, await execute(command, ...args, 'session.mjs'))
    })

    await t.test(`${command} requires the client, and ends by itself`, async t => {
      const server = await startServer(t)
      write('session.cjs', requires + asFunction(`${createSession(server.url)}\n${printResult}`))
      expectSession(t, server, await execute(command, ...args, 'session.cjs'))
    })
  }

  await t.test('Bun and Deno share a session in a file', async t => {
    const { url, events } = await startServer(t)
    write(
      'file.mjs',
      `import { createAuthClient } from 'fastify-token-auth/client'
      import { fileStorage } from 'fastify-token-auth/client/node'
      const auth = createAuthClient({ baseUrl: '${url}', storage: fileStorage('session.json') })
      const { status } = await auth.ready

      if (status === 'signed-out') {
        await auth.login({ username: 'ann', password: '${PASSWORD}' })
      }

      console.log(JSON.stringify([status, (await auth.fetch('/protected')).status]))`
    )
    const outputs = []

    for (const [command, ...args] of [...runtimes, ...runtimes]) {
      outputs.push(JSON.parse(await execute(command, ...args, 'file.mjs')))
    }

    const signedIn = ['signed-in', 200]
    t.strictSame(outputs, [['signed-out', 200], signedIn, signedIn, signedIn])
    t.strictSame(events.map(({ name }) => name), ['login', 'refresh', 'refresh', 'refresh'])
  })
})
