// Runs the script `check.ts` of each recipe: without a difference against the recipe, and with one
// against each mutant of it.

import { randomBytes } from 'node:crypto'
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import { WireCheck } from '../../../examples/shared/wire-check.js'
import type { Settings } from '../../../examples/shared/wire-check.js'
import { check as checkFormLogin } from '../../../examples/migrate-from/form-login/check.js'
import { check as checkHybrid } from '../../../examples/migrate-from/hybrid-renewal/check.js'
import { check as checkRotating } from '../../../examples/migrate-from/rotating-pair/check.js'
import { check as checkTokenRefresh } from '../../../examples/migrate-from/token-refresh/check.js'
import { createClock } from '../../helpers/clock.js'
import { createConsumer, root } from '../../helpers/consumer.js'

interface Mutant {
  /** Text of `server.ts`, and the text that replaces it. */
  readonly change: readonly [string, string]
  /** Part of a printed line. */
  readonly found: string
  readonly env?: Record<string, string>
}

interface Recipe {
  readonly check: (wire: WireCheck) => Promise<void>
  /** Settings of the server that the script must be able to follow. */
  readonly settings: ReadonlyArray<Record<string, string>>
  readonly mutants: readonly Mutant[]
}

const recipes: Readonly<Record<string, Recipe>> = {
  'form-login': {
    check: checkFormLogin,
    settings: [
      { ACCESS_TOKEN_EXPIRE_MINUTES: '1440', REFRESH_TOKEN_EXPIRE_DAYS: '20' },
      { REFRESH_TOKEN_ENABLED: 'false' }
    ],
    mutants: [
      {
        change: ['Token refreshed successfully', 'Refreshed'],
        found: 'POST /refresh: message is "Refreshed", expected "Token refreshed successfully"'
      },
      {
        change: ['users.get(login) ?? findByEmail(login)', 'users.get(login)'],
        found: 'POST /login with the email: status is 401, expected 200'
      },
      {
        change: ['id: username,', 'id: `u-$' + '{username}`,'],
        found: 'POST /login: sub of the access token is "u-'
      },
      { change: ['rotation: false,', ''], found: 'POST /refresh: refresh_token is "' },
      { change: ['{ detail: message }', '{ message }'], found: 'detail is undefined' }
    ]
  },
  'rotating-pair': {
    check: checkRotating,
    settings: [{ ACCESS_TOKEN_EXPIRE_MINUTES: '20', REFRESH_TOKEN_EXPIRE_DAYS: '3' }],
    mutants: [
      { change: ['|| \'30\'', '|| \'15\''], found: 'access token: lifetime in seconds is 900' },
      { change: ['sweep:', 'rotation: false, sweep:'], found: 'POST refresh: refresh_token is' },
      {
        change: ['sweep:', 'routes: { logoutAll: false }, sweep:'],
        found: 'POST logout/all by refresh token: status is 404, expected 204'
      }
    ]
  },
  'token-refresh': {
    check: checkTokenRefresh,
    settings: [{ ACCESS_TOKEN_EXPIRE_MINUTES: '5', REFRESH_TOKEN_EXPIRE_DAYS: '2' }],
    mutants: [
      {
        change: ['|| \'30\'', '|| \'7\''],
        found: 'POST login: refresh token: lifetime in seconds is 604800, expected 2592000'
      },
      {
        change: ['isRefused ? 400 : statusCode', 'statusCode'],
        found: 'POST token/refresh, unknown token: status is 401, expected 400'
      },
      {
        change: ['AUTH_REFRESH_EXPIRED: \'Token expired\'', 'AUTH_REFRESH_EXPIRED: \'Expired\''],
        found: 'POST token/refresh, expired refresh token: body is {"detail":"Expired"}'
      },
      {
        change: ['AUTH_ACCESS_EXPIRED: \'Token expired\'', 'AUTH_ACCESS_EXPIRED: \'Expired\''],
        found: 'GET /reports, expired access token: body is {"detail":"Expired"}'
      }
    ]
  },
  'hybrid-renewal': {
    check: checkHybrid,
    settings: [
      { ACCESS_TOKEN_EXPIRE_MINUTES: '60', REFRESH_TOKEN_EXPIRE_DAYS: '45' },
      { REFRESH_TOKEN_ENABLED: 'false' }
    ],
    mutants: [
      {
        change: ['        id,\n', '        id: String(id),\n'],
        found: 'POST login: user.id is string, expected number'
      },
      {
        change: ['first_name: firstName,', 'firstName,'],
        found: 'GET me.first_name is undefined, expected string or null'
      },
      {
        change: ['email_verified: emailVerified', 'email_verified: Number(emailVerified)'],
        found: 'user.email_verified is number, expected boolean'
      },
      {
        change: ['env.REFRESH_TOKEN_EXPIRE_DAYS || \'30\'', '\'30\''],
        found: 'POST login: refresh token: lifetime in seconds is 2592000, expected 604800',
        env: { REFRESH_TOKEN_EXPIRE_DAYS: '7' }
      },
      {
        change: ['if (!hasRefreshTokens) {', 'if (false) {'],
        found: 'POST login: refresh_token is "',
        env: { REFRESH_TOKEN_ENABLED: 'false' }
      },
      {
        change: ['renewWithin: Math.min(2 * 60 * 60, Number(minutes) * 30) //', '//'],
        found: 'access token near its end: x-new-token is undefined, expected string'
      }
    ]
  }
}

// The recipes and their mutants run as copies in a project of a user.
const project = createConsumer(['fastify', 'libsql', '@types/node'])
t.teardown(() => {
  project.remove()
})

interface Module {
  buildApp(options: { clock: () => number, logger: boolean }): Promise<FastifyInstance>
}

/** Copies the recipes, and changes the server of one. Returns the path of the server. */
function copy (name: string, id: string, [before, after]: Mutant['change'] = ['', '']): string {
  const folder = join(project.folder, `${name}-${id}`)

  for (const part of ['migrate-from', 'shared']) {
    cpSync(join(root, 'examples', part), join(folder, part), { recursive: true })
  }

  const file = join(folder, 'migrate-from', name, 'server.ts')
  const code = readFileSync(file, 'utf8')

  if (!code.includes(before)) {
    throw new Error(`${name}: the recipe does not contain ${before}`)
  }

  writeFileSync(file, code.replace(before, after))
  return file
}

/** Runs the check against a server, with settings for both. */
async function findDifferences (
  t: Test,
  file: string,
  check: Recipe['check'],
  settings: Settings
): Promise<string[]> {
  const variables = {
    SECRET_KEY: randomBytes(32).toString('hex'),
    DATABASE_FILE: ':memory:',
    ACCESS_TOKEN_EXPIRE_MINUTES: undefined,
    REFRESH_TOKEN_EXPIRE_DAYS: undefined,
    REFRESH_TOKEN_ENABLED: undefined,
    ...settings
  }

  for (const [name, value] of Object.entries(variables)) {
    delete process.env[name]
    Object.assign(process.env, value !== undefined && { [name]: value })
  }

  const clock = createClock(Date.now())
  const { buildApp } = await import(pathToFileURL(file).href) as Module
  const app = await buildApp({ clock, logger: false })

  try {
    const url = await app.listen({ host: '127.0.0.1', port: 0 })
    const wire = new WireCheck(url, settings, async millis => {
      clock.advance(millis)
    })
    await check(wire)
    t.strictSame(wire.notes, [], 'the script has checked everything')
    return wire.differences
  } finally {
    await app.close()
  }
}

for (const [name, { check, settings, mutants }] of Object.entries(recipes)) {
  t.test(`the check of ${name} finds no difference`, async t => {
    for (const env of [{}, ...settings]) {
      const file = copy(name, 'same')
      t.strictSame(await findDifferences(t, file, check, env), [], JSON.stringify(env))
    }
  })

  t.test(`the check of ${name} finds each mutant`, async t => {
    for (const [i, { change, found, env = {} }] of mutants.entries()) {
      const file = copy(name, String(i), change)
      const differences = await findDifferences(t, file, check, env)
      t.ok(differences.some(line => line.includes(found)), `${found}\n${differences.join('\n')}`)
    }
  })
}
