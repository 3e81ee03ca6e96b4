import { execFile } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { transform } from 'esbuild'
import Fastify from 'fastify'
import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import type { Test } from 'tap'
import { tokenAuth } from '../../src/index.js'
import type { AuthUser, TokenAuthOptions, TokenResponse, TokenStore } from '../../src/index.js'
import { PASSWORD, PASSWORD_HASH, SECRET } from '../helpers/app.js'
import { createChildEnv } from '../helpers/child-env.js'
import { createConsumer, root } from '../helpers/consumer.js'

export interface Block {
  readonly language: string
  readonly name: string
  readonly code: string
}

export const guide = readFileSync(join(root, 'examples/operations/README.md'), 'utf8')

/** All code blocks of the guide. The name follows the language. */
export const blocks: readonly Block[] = Array.from(
  guide.matchAll(/^```(\w+) ?([\w -]*)\n(.*?)^```$/gms),
  ([, language = '', name = '', code = '']) => ({ language, name, code })
)

export function findBlock (language: string, name: string): string {
  const block = blocks.find(block => block.language === language && block.name === name)

  if (block === undefined) {
    throw new Error(`the guide has no block "${language} ${name}"`)
  }

  return block.code
}

/**
 * Runs a block of TypeScript with variables from the text around it.
 *
 * @param env - Environment variables during the run.
 * @param results - Names of variables of the block to return.
 */
export async function runBlock (
  t: Test,
  name: string,
  scope: Readonly<Record<string, unknown>>,
  env: Readonly<Record<string, string>> = {},
  results: readonly string[] = []
): Promise<Readonly<Record<string, unknown>>> {
  const { code } = await transform(findBlock('ts', name), { loader: 'ts', target: 'node20' })
  const consumer = createConsumer()
  t.teardown(() => {
    consumer.remove()
  })
  const imports = code.match(/^import [^;]*;$/gm) ?? []
  const body = imports.reduce((rest, line) => rest.replace(line, ''), code)
  const declared = Object.keys(scope).filter(name => !new RegExp(`\\bconst ${name}\\b`).test(body))
  consumer.write(
    'block.mjs',
    `${imports.join('\n')}\nexport default async ({ ${declared.join(', ')} }) => {\n${body}\n` +
      `return { ${results.join(', ')} }\n}`
  )
  const { default: run } = await import(
    pathToFileURL(join(consumer.folder, 'block.mjs')).href
  ) as { readonly default: (scope: object) => Promise<Record<string, unknown>> }
  const before = Object.keys(env).map(name => [name, process.env[name]] as const)
  Object.assign(process.env, env)

  try {
    return await run(scope)
  } finally {
    for (const [name, value] of before) {
      if (value === undefined) {
        delete process.env[name]
      } else {
        process.env[name] = value
      }
    }
  }
}

/** Runs a block of shell commands with the command of the built package. */
export async function runShell (
  t: Test,
  name: string,
  env: Readonly<Record<string, string>>
): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'token-auth-npx-'))
  t.teardown(() => {
    rmSync(folder, { recursive: true })
  })
  // Takes the place of npx, which would look up an installed package.
  const command = join(root, 'dist/cli/index.js')
  writeFileSync(
    join(folder, 'npx'),
    `#!/bin/sh\nshift\nexec "${process.execPath}" "${command}" "$@"\n`
  )
  chmodSync(join(folder, 'npx'), 0o755)
  const path = `${folder}:${process.env.PATH ?? ''}`
  const { stdout } = await promisify(execFile)('sh', ['-ec', findBlock('sh', name)], {
    cwd: root,
    env: createChildEnv({ ...env, PATH: path })
  })
  return stdout
}

export const ann: AuthUser = { id: '42', username: 'ann', passwordHash: PASSWORD_HASH }

export const users: TokenAuthOptions['users'] = {
  findByLogin: login => login === ann.username ? ann : null,
  findById: id => id === ann.id ? ann : null
}

/** Starts an app with the settings of a block that registers the plugin. */
export async function startFromBlock (
  t: Test,
  name: string,
  store: TokenStore,
  env: Readonly<Record<string, string>> = {},
  app: FastifyInstance = Fastify()
): Promise<FastifyInstance> {
  const scope = { app, store, users, tokenAuth }
  await runBlock(t, name, scope, { AUTH_SECRET: SECRET, ...env })
  return finish(t, app)
}

/** Starts an app with these settings. */
export async function startApp (
  t: Test,
  store: TokenStore,
  options: Partial<TokenAuthOptions> = {},
  app: FastifyInstance = Fastify(),
  addRoutes: (app: FastifyInstance) => Promise<unknown> = async () => {}
): Promise<FastifyInstance> {
  await app.register(tokenAuth, { secret: SECRET, store, users, sweep: false, ...options })
  await addRoutes(app)
  return finish(t, app)
}

async function finish (t: Test, app: FastifyInstance): Promise<FastifyInstance> {
  t.teardown(() => app.close())
  app.get('/protected', { onRequest: [app.authenticate] }, request => request.auth)
  await app.ready()
  return app
}

export async function login (app: FastifyInstance): Promise<TokenResponse> {
  const payload = { username: 'ann', password: PASSWORD }
  const response = await app.inject({ method: 'POST', url: '/auth/login', payload })

  if (response.statusCode !== 200) {
    throw new Error(`login failed: ${response.body}`)
  }

  return response.json()
}

export async function refresh (
  app: FastifyInstance,
  { refresh_token: token }: TokenResponse
): Promise<LightMyRequestResponse> {
  return app.inject({ method: 'POST', url: '/auth/refresh', payload: { refresh_token: token } })
}

/** Returns the status of a protected route. */
export async function getStatus (
  app: FastifyInstance,
  { access_token: token }: TokenResponse
): Promise<number> {
  const headers = { authorization: `Bearer ${token}` }
  return (await app.inject({ url: '/protected', headers })).statusCode
}
