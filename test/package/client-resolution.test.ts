// These tests compile the client in projects with each way to resolve modules, and load it by
// `require` and `import`.

import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { createConsumer } from '../helpers/consumer.js'

const run = promisify(execFile)

const code = `
  import { AuthError, createAuthClient } from 'fastify-token-auth/client'
  import type { AuthClient, TokenStorage } from 'fastify-token-auth/client'
  import { createDpopFetch } from 'fastify-token-auth/client/dpop'
  import { openSocket } from 'fastify-token-auth/client/live'
  import type { LiveSocket } from 'fastify-token-auth/client/live'
  import { fileStorage } from 'fastify-token-auth/client/node'
  import { useAuth } from 'fastify-token-auth/client/react'

  const storage: TokenStorage = fileStorage('session.json')
  const fetch = createDpopFetch({ baseUrl: 'https://api.example.org' })
  export const auth: AuthClient<{ name: string }> = createAuthClient({ storage, fetch })
  export const connect = (): LiveSocket => openSocket(auth, '/live')
  export const error = new AuthError('network')
  export const useName = (): string | undefined => useAuth<{ name: string }>().user?.name
  // @ts-expect-error
  createAuthClient({ storage: 'disk' })
  // @ts-expect-error
  auth.state.user?.age`

/** Compiler options of a project, and the files that it compiles. */
interface Project {
  readonly files: readonly string[]
  readonly module: string
  readonly ignoreDeprecations?: string
}

const projects: Readonly<Record<string, Project>> = {
  nodenext: { files: ['app.mts', 'app.cts'], module: 'nodenext' },
  node16: { files: ['app.mts', 'app.cts'], module: 'node16' },
  bundler: { files: ['app.ts'], module: 'preserve' },
  node10: { files: ['app.ts'], module: 'commonjs', ignoreDeprecations: '6.0' }
}

for (const [moduleResolution, { files, ...options }] of Object.entries(projects)) {
  t.test(`the types of the client compile with ${moduleResolution}`, async t => {
    const consumer = createConsumer(['@types/node', '@types/react', 'react'])
    t.teardown(() => {
      consumer.remove()
    })
    const path = join(consumer.folder, 'tsconfig.json')
    const { compilerOptions } = JSON.parse(readFileSync(path, 'utf8'))
    t.equal(compilerOptions.skipLibCheck, false)
    Object.assign(compilerOptions, { moduleResolution, ...options })
    consumer.write('tsconfig.json', JSON.stringify({ compilerOptions, files }))

    for (const file of files) {
      consumer.write(file, code)
    }

    t.equal(await consumer.compile(), '')
  })
}

t.test('require and import load the same AuthError in Node', async t => {
  const consumer = createConsumer([])
  t.teardown(() => {
    consumer.remove()
  })
  consumer.write(
    'load.cjs',
    `const { AuthError } = require('fastify-token-auth/client')
    import('fastify-token-auth/client').then(module => {
      console.log(module.AuthError === AuthError)
    })`
  )
  // Module hooks hide the condition `module-sync`. tap adds them to NODE_OPTIONS of all processes.
  const { stdout } = await run('env', ['-u', 'NODE_OPTIONS', process.execPath, 'load.cjs'], {
    cwd: consumer.folder
  })
  t.equal(stdout, 'true\n')
})

t.test('the CommonJS build exports the same names as the ES modules', async t => {
  const require = createRequire(import.meta.url)

  for (
    const path of [
      'client/index.js',
      'client/dpop.js',
      'client/live/index.js',
      'client/node/index.js',
      'client/react/index.js'
    ]
  ) {
    const names = Object.keys(await import(`../../dist/${path}`)).sort()
    t.strictSame(Object.keys(require(`../../dist/commonjs/${path}`)).sort(), names)
    t.ok(names.length > 0, path)
  }
})
