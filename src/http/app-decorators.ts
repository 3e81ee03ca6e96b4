import type { FastifyInstance } from 'fastify'
import type { DecoratorNames, Protection } from '../options/protection.js'
import { createAuthenticate } from './authenticate.js'
import type { AccessCheck } from './authenticate.js'
import { createRequireClaims, createRequireFresh } from './guards.js'
import { createScopeCheck } from './protect.js'
import { findRegistration, REGISTRATION } from './registration.js'
import type { Registration } from './registration.js'
import { isFullyOpen } from './unprotected-routes.js'

const PROTECTS_NOTHING =
  '"protect" covers no route of the app: it only covers the scope that registers the plugin; ' +
  'if one of your plugin files registers the plugin, wrap that file with fastify-plugin'

/** Settings of {@link decorateScope}. */
export interface DecoratorSettings {
  readonly decorators: DecoratorNames
  readonly protection: Protection
}

/**
 * Asserts that a plugin can add its decorators to a scope.
 *
 * @param plugin - Name of the plugin in the message.
 * @throws Error if the scope or a parent scope has a registration, or a decorator of one of the
 * names.
 */
export function assertFreeDecorators (
  app: FastifyInstance,
  names: DecoratorNames,
  plugin: 'tokenAuth' | 'tokenVerifier' | 'fakeAuth'
): void {
  const registration = findRegistration(app)

  if (registration !== null) {
    throw new Error(
      `fastify-token-auth: this scope already has the registration "${registration.name}"; ` +
        'register each plugin in a scope of its own, beside the other: ' +
        `app.register(async scope => { await scope.register(${plugin}, ` +
        '{ name: \'other\', ...options }) })'
    )
  }

  for (const [decorator, name] of Object.entries(names) as Array<[string, string | false]>) {
    if (name !== false && app.hasDecorator(name)) {
      throw new Error(
        `fastify-token-auth: this app has a decorator "${name}" of its own; ` +
          `set "decorators" of ${plugin} to rename ours, such as ` +
          `{ ${decorator}: 'other' }, or to omit it: { ${decorator}: false }`
      )
    }
  }

  if (app.hasRequestDecorator('auth')) {
    throw new Error(
      'fastify-token-auth: this app has a request decorator "auth" of its own; rename it, or ' +
        `register ${plugin} in a scope that does not inherit it`
    )
  }
}

/** Adds a registration to a scope: its hooks as decorators, and the protection of the scope. */
export function decorateScope (
  app: FastifyInstance,
  registration: Registration,
  { decorators, protection }: DecoratorSettings
): void {
  const { authenticate, clock } = registration
  app.decorate<Registration>(REGISTRATION, registration)
  addDecorator(app, decorators.authenticate, createAuthenticate(authenticate))
  addDecorator(app, decorators.requireFresh, createRequireFresh(clock))
  addDecorator(app, decorators.requireClaims, createRequireClaims)

  if (protection !== null) {
    // Fastify adds the hook to the child scopes that exist already, too. One of them may have a
    // registration of its own, whose routes must not see the users of this one.
    const check: AccessCheck = request =>
      (findRegistration(request.server) ?? registration).authenticate(request)
    app.addHook('onRequest', createAuthenticate(createScopeCheck(check, protection.except)))
    app.addHook('onReady', async () => {
      if (isFullyOpen(app.printRoutes({ includeHooks: true }))) {
        app.log.warn({ registration: registration.name }, PROTECTS_NOTHING)
      }
    })
  }
}

/** Adds a decorator to a scope unless the app omits it. */
export function addDecorator (
  app: FastifyInstance,
  name: string | false | undefined,
  value: unknown
): void {
  if (name !== undefined && name !== false) {
    app.decorate(name, value)
  }
}
