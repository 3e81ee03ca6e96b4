import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createConsumer, defaultDependencies, root } from '../helpers/consumer.js'
import type { NodeTypes } from '../helpers/consumer.js'

t.before(() => {
  if (!existsSync(join(root, 'dist/index.d.ts'))) {
    throw new Error('dist is missing; run "npm run build"')
  }
})

t.test('the types add nothing of @fastify/jwt and @fastify/cookie to an app', async t => {
  const consumer = createConsumer()
  t.teardown(() => {
    consumer.remove()
  })
  consumer.write(
    'app.ts',
    `
    import Fastify from 'fastify'
    import { tokenAuth } from 'fastify-token-auth'
    import { tokenVerifier } from 'fastify-token-auth/verifier'

    const app = Fastify()
    export const plugins = [tokenAuth, tokenVerifier]
    // @ts-expect-error
    app.jwt
    // @ts-expect-error
    app.serializeCookie
    app.get('/', { onRequest: [app.authenticate] }, (request, reply) => {
      // @ts-expect-error
      request.user
      // @ts-expect-error
      request.jwtVerify
      // @ts-expect-error
      request.cookies
      // @ts-expect-error
      reply.setCookie
      return request.auth
    })
  `
  )
  // The configuration of a consumer has skipLibCheck: false.
  t.equal(await consumer.compile(), '')
})

const nodeTypes: readonly NodeTypes[] = ['@types/node', 'types-node-latest']

for (const name of nodeTypes) {
  t.test(`the types of every subpath compile with ${name}`, async t => {
    const packageJson = readFileSync(join(root, 'package.json'), 'utf8')
    const { exports } = JSON.parse(packageJson) as { exports: Record<string, unknown> }
    const subpaths = Object.keys(exports).filter(subpath => subpath !== './package.json')
    t.ok(subpaths.length > 10)
    const consumer = createConsumer(defaultDependencies, name)
    t.teardown(() => {
      consumer.remove()
    })
    consumer.write(
      'app.ts',
      subpaths
        .map((subpath, i) => `export * as m${i} from '${join('fastify-token-auth', subpath)}'`)
        .join('\n')
    )
    t.equal(await consumer.compile(), '')
  })
}

t.test('declarations import no optional package except React', t => {
  const files = readdirSync(join(root, 'dist'), { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.d.ts'))
  t.ok(files.length > 100)

  for (const file of files) {
    const text = readFileSync(join(root, 'dist', file), 'utf8').replace(/\/\*[^]*?\*\//g, '')
    const packages = [...text.matchAll(/(?:from |import\()["']([^."'][^"']*)["']/g)]
      .map(([, name = '']) => name)
      .filter(name => !name.startsWith('node:') && name !== 'fastify')
    const isReact = /\bclient[\\/]react[\\/]/.test(file)
    t.strictSame(packages.filter(name => !isReact || name !== 'react'), [], file)
  }

  t.end()
})
