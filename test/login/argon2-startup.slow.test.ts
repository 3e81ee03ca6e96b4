import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import { createChildEnv } from '../helpers/child-env.js'

const createAppScript = (options: string, hook = ''): string => `
  import { register } from 'node:module'
  ${hook}
  const { default: Fastify } = await import('fastify')
  const { tokenAuth } = await import('./src/index.ts')
  const { MemoryStore } = await import('./src/stores/memory/index.ts')
  const app = Fastify()
  await app.register(tokenAuth, {
    secret: 'q7Yk2mVx0TzRb5Wn8Ls3Jd6Hf9Gc1Pa4',
    store: new MemoryStore(),
    users: { findByLogin: () => null, findById: () => null },
    ${options}
  })
  const error = await app.ready().then(() => null, error => error.message)
  const { sharedObjects } = process.report.getReport()
  console.log(JSON.stringify({ error, loaded: sharedObjects.some(f => f.includes('argon2')) }))
  await app.close()
`

const run = async (script: string): Promise<unknown> => {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--import', 'tsx', '--input-type=module', '-e', script],
    { env: createChildEnv() }
  )
  return JSON.parse(stdout)
}

t.test('argon2 is loaded at startup, unless the login is off', async t => {
  const off = 'routes: { login: false }'
  t.strictSame(await run(createAppScript('')), { error: null, loaded: true })
  t.strictSame(await run(createAppScript(off)), { error: null, loaded: false })
})

t.test('a missing argon2 library fails the startup, unless the login is off', async t => {
  const hook = `register('data:text/javascript,' + encodeURIComponent(\`
    export function resolve (specifier, context, next) {
      if (specifier === '@node-rs/argon2') throw new Error('no binary')
      return next(specifier, context)
    }\`))`
  t.match(await run(createAppScript('', hook)), {
    error: /"@node-rs\/argon2" cannot be loaded on .+; install the dependencies/
  })
  t.match(await run(createAppScript('routes: { login: false }', hook)), { error: null })
})
