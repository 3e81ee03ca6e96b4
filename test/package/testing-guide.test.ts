// These tests compile the code blocks of examples/testing/README.md in a project of a user, and run
// those of tap, node:test and Playwright. Vitest and Jest are not installed here: a part of their
// types stands in for them.

import { execFile } from 'node:child_process'
import { cpSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import type { Test } from 'tap'
import { findFreePort } from '../../examples/shared/free-port.js'
import { findChromium, getChromiumSkipReason } from '../helpers/browser/browser.js'
import { createChildEnv } from '../helpers/child-env.js'
import { createConsumer, defaultDependencies, root } from '../helpers/consumer.js'
import type { Consumer } from '../helpers/consumer.js'

const run = promisify(execFile)
const skip = getChromiumSkipReason()
const guide = readFileSync(join(root, 'examples/testing/README.md'), 'utf8')
const blocks = [...guide.matchAll(/^```ts\n\/\/ (\S+)\n(.*?)^```$/gms)].map(
  ([, file = '', code = '']) => ({ file, code })
)

const runnerTypes = `
declare module 'vitest' {
  export function test (name: string, run: () => Promise<void>): void
  export function beforeAll (run: () => unknown): void
  export function afterAll (run: () => unknown): void
  interface Matchers { toBe (value: unknown): void, toEqual (value: unknown): void }
  export function expect (value: unknown): Matchers
}
declare module '@jest/globals' { export * from 'vitest' }`

function createProject (t: Test, dependencies: readonly string[]): Consumer {
  const consumer = createConsumer(dependencies)
  t.teardown(() => {
    consumer.remove()
  })

  for (const { file, code } of blocks) {
    consumer.write(file, code)
  }

  return consumer
}

function updateOptions (consumer: Consumer, options: Readonly<Record<string, boolean>>): void {
  const config = JSON.parse(readFileSync(join(consumer.folder, 'tsconfig.json'), 'utf8'))
  Object.assign(config.compilerOptions, options)
  consumer.write('tsconfig.json', JSON.stringify(config))
}

t.test('every code block is a file, and compiles', async t => {
  t.equal(blocks.length, guide.match(/^```ts$/gm)?.length)
  t.strictSame(blocks.map(({ file }) => file), [
    'app.ts',
    'orders.tap.test.ts',
    'orders.node.test.ts',
    'orders.vitest.test.ts',
    'orders.jest.test.ts',
    'cookies.node.test.ts',
    'orders.playwright.ts',
    'routes.node.test.ts'
  ])
  const consumer = createProject(t, ['fastify', '@types/node', 'playwright-core', 'tap'])
  consumer.write('runners.d.ts', runnerTypes)
  consumer.write(
    'wrong.ts',
    `import { signIn } from 'fastify-token-auth/testing'
    import { buildApp } from './app.js'
    await signIn(await buildApp(), '1', { claims: { role: 'guest' } })`
  )
  // The types of tap and Playwright do not compile without it.
  updateOptions(consumer, { skipLibCheck: true })
  const errors = (await consumer.compile()).split('\n').filter(line => line.includes('error TS'))
  t.strictSame(errors.filter(line => !line.includes('wrong.ts')), [])
  t.match(errors, [/'"guest"' is not assignable to type '"admin" \| "member"/])
})

t.test('the tests of tap and node:test pass', async t => {
  const { folder } = createProject(t, ['fastify', 'tap'])
  const loader = join(root, 'node_modules/tsx/dist/loader.mjs')
  const files = blocks.map(({ file }) => file).filter(file => /\.(tap|node)\.test/.test(file))
  t.equal(files.length, 4)

  for (const file of files) {
    const isTap = file.includes('.tap.')
    const args = ['--import', loader, ...isTap ? [] : ['--test', '--test-reporter=tap'], file]
    const env = createChildEnv({ TAP: '1' })
    // A test runner in a test runner reports to its parent otherwise.
    delete env['NODE_TEST_CONTEXT']
    const { stdout } = await run(process.execPath, args, { cwd: folder, env })
    const passed = stdout.match(/^ *ok \d+/gm)?.length ?? 0
    t.ok(passed >= 1, `${file}: ${passed} passed`)
    t.notMatch(stdout, /^ *not ok/m, file)
  }
})

t.test('a browser with the cookies of signIn is signed in', { skip }, async t => {
  const { folder, write } = createProject(t, ['fastify', 'playwright-core'])
  const { code = '' } = blocks.find(({ file }) => file === 'orders.playwright.ts') ?? {}
  const launch = JSON.stringify({ executablePath: findChromium(), args: ['--no-sandbox'] })
  write(
    'orders.playwright.ts',
    code.replace('chromium.launch()', `chromium.launch(${launch})`)
      .replaceAll('3000', String(await findFreePort()))
  )
  const loader = join(root, 'node_modules/tsx/dist/loader.mjs')
  const args = ['--import', loader, 'orders.playwright.ts']
  const { stdout } = await run(process.execPath, args, { cwd: folder, env: createChildEnv() })
  t.equal(stdout.trim(), '{"of":"1"}')
})

t.test('a front end without Fastify compiles with createFaults', async t => {
  const consumer = createConsumer(['@types/node'])
  t.teardown(() => {
    consumer.remove()
  })
  // A copy, because the link to this repository leads to Fastify.
  const copy = join(consumer.folder, 'node_modules/fastify-token-auth')
  rmSync(copy)

  for (const part of ['package.json', 'dist']) {
    cpSync(join(root, part), join(copy, part), { recursive: true })
  }

  consumer.write(
    'faults.ts',
    `import { createFaults } from 'fastify-token-auth/testing'
    export const faults = createFaults({ seed: 7 })`
  )
  t.equal(await consumer.compile(), '')
  consumer.write('server.ts', 'export { tokenAuth } from "fastify-token-auth"')
  t.match(await consumer.compile(), /Cannot find module 'fastify'/)
})

t.test('signIn and fakeAuth accept every kind of Fastify instance', async t => {
  const consumer = createConsumer(defaultDependencies)
  t.teardown(() => {
    consumer.remove()
  })
  consumer.write(
    'instances.ts',
    `import Fastify from 'fastify'
    import type { FastifyBaseLogger, FastifyTypeProvider } from 'fastify'
    import { fakeAuth, signIn } from 'fastify-token-auth/testing'
    import type { SignedInSession } from 'fastify-token-auth/testing'

    interface Provider extends FastifyTypeProvider { validator: this['schema'] }
    interface Logger extends FastifyBaseLogger { audit (text: string): void }
    declare const loggerInstance: Logger
    const plain = Fastify()
    const typed = Fastify().withTypeProvider<Provider>()
    const http2 = Fastify({ http2: true })
    const logging = Fastify({ loggerInstance })
    await plain.register(fakeAuth({ userId: '1' }))
    await typed.register(fakeAuth({ userId: 1n, amr: ['pwd'] }))
    await http2.register(fakeAuth(({ headers }) => headers.authorization ? { userId: 1 } : null))
    await logging.register(fakeAuth(null))
    await plain.register(async scope => { scope.register(fakeAuth({ userId: '1' })) })
    export const sessions: SignedInSession[] = [
      await signIn(plain, '1'), await signIn(typed, 1), await signIn(http2, 1n),
      await signIn(logging, '1', { transport: 'cookie', domain: 'app.test' })
    ]
    const [session] = sessions
    export const response = await plain.inject({ url: '/', headers: session!.headers })
    export const fetched = await fetch('http://localhost', { headers: session!.headers })`
  )
  t.equal(await consumer.compile(), '')
})
