// `npm run test:pack`: packs the package, checks the archive with publint and attw, and uses it in
// a project that installs it. The last line of the output is `N passed, N failed`.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root } from '../helpers/consumer.js'
import { packPackage } from '../helpers/package-archive.js'

const folder = mkdtempSync(join(tmpdir(), 'token-auth-packed-'))
const bin = (name: string): string => join(root, 'node_modules/.bin', name)
const run = (command: string, args: readonly string[], cwd = folder): string =>
  execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })

/** Subpaths that also have a CommonJS build. */
const clientEntries = ['client', 'client/dpop', 'client/live', 'client/node', 'client/react']

const smoke = `
  const app = Fastify()
  await app.register(tokenAuth, {
    secret: 'k3Jd8sLq0Zx7Vb2Nm5Tg9Ry4Wp1Hc6Uf',
    store: new MemoryStore(),
    users: { findByLogin: () => null, findById: () => null }
  })
  const payload = { username: 'a', password: 'b' }
  const { statusCode } = await app.inject({ method: 'POST', url: '/auth/login', payload })
  await app.close()
  if (statusCode !== 401) throw new Error(String(statusCode))
`

let tarball = ''
const checks: Record<string, () => void> = {
  'npm pack' () {
    const archive = packPackage(folder)
    tarball = archive.tarball
    const paths = archive.files.map(file => file.path)
    const unexpected = paths.filter(path =>
      !/^dist\/.+\.(js|d\.ts)$|^(package\.json|README\.md|CHANGELOG\.md|LICENSE)$/.test(path) &&
      path !== 'dist/commonjs/package.json'
    )
    assert.deepEqual(unexpected, [], 'nothing else is published')

    for (const needed of ['dist/index.js', 'dist/index.d.ts', 'LICENSE']) {
      assert.ok(paths.includes(needed), needed)
    }

    const command = archive.files.find(file => file.path === 'dist/cli/index.js')
    assert.equal((command?.mode ?? 0) & 0o111, 0o111, 'the command is executable')
  },
  'no source maps' () {
    // Without `src` in the package, a map would point to files that are missing.
    const files = readdirSync(join(root, 'dist'), { recursive: true, encoding: 'utf8' })
    const withMap = files.filter(file =>
      /\.(js|ts)$/.test(file) &&
      readFileSync(join(root, 'dist', file), 'utf8').includes('sourceMappingURL')
    )
    assert.deepEqual(withMap, [])
  },
  publint () {
    run(bin('publint'), ['run', tarball, '--strict'])
  },
  'are the types wrong' () {
    run(bin('attw'), [tarball, '--profile', 'esm-only'])
  },
  'are the types of the client wrong for CommonJS and node10' () {
    run(bin('attw'), [tarball, '--profile', 'strict', '--entrypoints', ...clientEntries])
  },
  'npm install of the archive' () {
    writeFileSync(join(folder, 'package.json'), '{ "type": "module", "private": true }')
    run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', tarball, 'fastify'])
    const installed = readdirSync(join(folder, 'node_modules'))

    for (const tool of ['typescript', 'tap', 'libsql', 'fast-check', 'react']) {
      assert.ok(!installed.includes(tool), `${tool} is not installed`)
    }
  },
  'use by import' () {
    writeFileSync(
      join(folder, 'esm.js'),
      `
      import Fastify from 'fastify'
      import tokenAuth, { tokenAuth as named } from 'fastify-token-auth'
      import { MemoryStore } from 'fastify-token-auth/memory'
      import { SqliteStore } from 'fastify-token-auth/sqlite'
      import { testTokenStore } from 'fastify-token-auth/conformance'
      import { tokenVerifier } from 'fastify-token-auth/verifier'
      import { accountFlows } from 'fastify-token-auth/account'
      const { migrations } = SqliteStore
      const isSame = tokenAuth === named
      const values = [tokenVerifier, accountFlows, isSame, migrations.length, testTokenStore]
      if (!values.every(Boolean)) throw new Error('an export is missing')
      ${smoke}`
    )
    run(process.execPath, ['esm.js'])
  },
  'use by command' () {
    const command = join(folder, 'node_modules/.bin/fastify-token-auth')
    assert.match(run(command, ['--help']), /^Usage: npx fastify-token-auth /)
    assert.match(run('npx', ['--no-install', 'fastify-token-auth', 'secret']), /^[\w-]{64}\n$/)
    assert.throws(
      () => run(command, ['sessions', '--user', '1', '--database', 'postgres://127.0.0.1:1/d']),
      /requires the package "pg", which is not installed here; run "npm install pg"/
    )
  },
  'use by require' () {
    writeFileSync(
      join(folder, 'common.cjs'),
      `
      const Fastify = require('fastify')
      const tokenAuth = require('fastify-token-auth')
      const { MemoryStore } = require('fastify-token-auth/memory')
      ;(async () => {
        const app = Fastify()
        await app.register(tokenAuth, {
          secret: 'k3Jd8sLq0Zx7Vb2Nm5Tg9Ry4Wp1Hc6Uf',
          store: new MemoryStore(),
          users: { findByLogin: () => null, findById: () => null }
        })
        await app.close()
      })()`
    )
    run(process.execPath, ['common.cjs'])
  },
  'no deep import' () {
    writeFileSync(join(folder, 'deep.js'), 'import \'fastify-token-auth/dist/plugin.js\'')
    assert.throws(() => run(process.execPath, ['deep.js']), /ERR_PACKAGE_PATH_NOT_EXPORTED/)
  }
}

let failed = 0

for (const [name, check] of Object.entries(checks)) {
  try {
    check()
    console.log(`ok ${name}`)
  } catch (error) {
    failed++
    const { stdout = '', stderr = '' } = error as { stdout?: string, stderr?: string }
    console.log(`not ok ${name}: ${String(error)}\n${stdout}${stderr}`)
  }
}

rmSync(folder, { recursive: true })
console.log(`${Object.keys(checks).length - failed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
