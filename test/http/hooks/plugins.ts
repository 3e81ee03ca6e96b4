import { generateKeyPairSync } from 'node:crypto'
import Fastify from 'fastify'
import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import type { Test } from 'tap'
import { tokenAuth } from '../../../src/index.js'
import type { AuthUser, TokenAuthOptions, TokenResponse } from '../../../src/index.js'
import { tokenVerifier } from '../../../src/verifier/index.js'
import type { TokenVerifierOptions } from '../../../src/verifier/index.js'
import { createTestApp, PASSWORD, PASSWORD_HASH } from '../../helpers/app.js'
import { createClock } from '../../helpers/clock.js'
import type { TestClock } from '../../helpers/clock.js'
import { getOptions } from '../host-apps/host-app.js'

/** Both plugins that add the hooks. Tests of a promise that both give run with each of them. */
export const plugins = ['tokenAuth', 'tokenVerifier'] as const

export type PluginName = typeof plugins[number]

/** Options that both plugins have. */
export type SharedOptions =
  & Pick<TokenAuthOptions, 'protect'>
  & Pick<TokenVerifierOptions, 'decorators' | 'name'>

/** A plugin that is not yet registered, and a server that issues tokens for it. */
export interface HookPlugin {
  readonly clock: TestClock
  /** Registers the plugin, once. Await it, or let Fastify load it later. */
  register(scope: FastifyInstance, options?: SharedOptions): PromiseLike<unknown>
  /** Logs in at the issuer: the app itself, or the other app whose tokens a verifier accepts. */
  login(username?: 'ann' | 'bob'): Promise<Required<TokenResponse>>
}

/** Settings of {@link preparePlugin}. */
export interface PluginSettings {
  /** Names the issuer in its audience and its paths, if a test has two. */
  readonly audience?: string
  /** Options of `tokenAuth` that `tokenVerifier` does not have. */
  readonly own?: Partial<TokenAuthOptions>
}

const issuer = 'https://a.example'
const { privateKey: key } = generateKeyPairSync('ed25519')
const ids: ReadonlySet<unknown> = new Set(['u-ann', 'u-bob'])

const findUser = (id: unknown): AuthUser | null =>
  ids.has(id) ? { id: String(id), passwordHash: PASSWORD_HASH } : null

const users: TokenAuthOptions['users'] = {
  findByLogin: login => findUser(`u-${login}`),
  findById: findUser,
  claims: ({ id }) =>
    id === 'u-ann' ? { role: 'admin', groups: ['staff', 'night'] } : { role: 'member' }
}

/**
 * Prepares a plugin for a scope of an app.
 *
 * Its users `ann` and `bob` have the claim `role`, `ann` also has `groups`.
 */
export async function preparePlugin (
  t: Test,
  app: FastifyInstance,
  plugin: PluginName,
  { audience = 'api', own }: PluginSettings = {}
): Promise<HookPlugin> {
  return plugin === 'tokenAuth' ? prepareIssuer(app, audience, own) : prepareVerifier(t, audience)
}

function prepareIssuer (
  app: FastifyInstance,
  audience: string,
  own?: Partial<TokenAuthOptions>
): HookPlugin {
  const clock = createClock()
  const prefix = `/${audience}/auth`
  let url = ''

  return {
    clock,
    register (scope, options) {
      url = `${scope.prefix}${prefix}/login`
      return scope.register(tokenAuth, getOptions({ users, clock, prefix, ...own, ...options }))
    },
    async login (username = 'ann') {
      const payload = { username, password: PASSWORD }
      // Not the scope, because `inject` of a child scope does not wait for `onReady`.
      const response = await app.inject({ method: 'POST', url, payload })

      if (response.statusCode !== 200) {
        throw new Error(`login of ${username} failed: ${response.body}`)
      }

      return response.json()
    }
  }
}

async function prepareVerifier (t: Test, audience: string): Promise<HookPlugin> {
  const clock = createClock()
  const { app, login } = await createTestApp({
    clock,
    options: { issuer, audience, users, keys: [key] }
  })
  t.teardown(() => app.close())
  const jwksUri = await app.listen({ host: '127.0.0.1', port: 0 }) + '/.well-known/jwks.json'

  return {
    clock,
    register: (scope, options) =>
      scope.register(tokenVerifier, { jwksUri, issuer, audience, clock, ...options }),
    login: async username => await login(username) as Required<TokenResponse>
  }
}

/** Creates an app that is closed after the test. */
export function start (t: Test, options: FastifyServerOptions = {}): FastifyInstance {
  const app = Fastify(options)
  t.teardown(() => app.close())
  return app
}
