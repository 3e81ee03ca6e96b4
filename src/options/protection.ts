import { assert, group, resolveShape } from './validate.js'
import type { Check, Shape } from './validate.js'

/** Paths that `protect` leaves open. */
export interface ProtectExcept {
  /**
   * Routes that need no token, for plugins whose routes cannot be marked in their `config`.
   *
   * An entry is the path of a route as it was declared, with all prefixes: `'/docs'`. With `/*` at
   * its end, it names all routes whose declared path starts with the part before `*`: `'/docs/*'`
   * names `/docs/`, `/docs/json` and `/docs/static/*`, but neither `/docs` nor `/*`. The URL of a
   * request is not compared, so no other spelling of it opens another route.
   *
   * @example
   * ```ts
   * except: ['/docs', '/docs/*'] // @fastify/swagger-ui with the routePrefix '/docs'
   * ```
   */
  readonly except: readonly string[]
}

/** Names of the decorators. `false` omits one. */
export interface DecoratorNames {
  /**
   * Name of the hook that requires an access token.
   *
   * @default 'authenticate'
   */
  readonly authenticate?: string | false
  /**
   * Name of the function that creates a hook for claims.
   *
   * @default 'requireClaims'
   */
  readonly requireClaims?: string | false
  /**
   * Name of the function that creates a hook for recent logins.
   *
   * @default 'requireFresh'
   */
  readonly requireFresh?: string | false
}

/** Decorators of `tokenAuth`. */
export interface TokenAuthDecoratorNames extends DecoratorNames {
  /**
   * Name of the object with methods for the app's own code.
   *
   * @default 'tokenAuth'
   */
  readonly tokenAuth?: string | false
}

/** Option that protects a whole scope. Both plugins have it. */
export interface ProtectOptions {
  /**
   * `'all'` requires a valid access token for every route of the scope that registers the plugin,
   * and of its child scopes. The order of the declarations does not matter.
   *
   * Mark routes that need no token: `config: { tokenAuth: 'public' }`, or `'optional'` to accept
   * requests with and without a token. Unknown paths (404) and CORS preflights need no token, nor
   * do the plugin's own routes, such as the login. A route for several methods, `app.all` for
   * example, gets no preflights unless @fastify/cors is registered before this plugin.
   *
   * It is an `onRequest` hook, so it runs after the hooks that the scope has already. If a child
   * scope was declared before and has hooks of its own, they run first. A guard among them, such as
   * `requireFresh`, then rejects all requests. Routes in a parent scope or beside the scope are not
   * protected.
   *
   * @default no protection; each route needs `authenticate`
   * @example
   * ```ts
   * await app.register(tokenAuth, { protect: 'all', secret, store, users })
   * app.get('/orders', request => listOrders(request.auth))
   * app.get('/', { config: { tokenAuth: 'public' } }, showHomePage)
   * ```
   * @example
   * ```ts
   * protect: { except: ['/docs', '/docs/*'] }
   * ```
   */
  readonly protect?: 'all' | ProtectExcept
}

/** Options for the protection of routes, and for the names of the hooks on the instance. */
export interface ProtectionOptions extends ProtectOptions {
  /**
   * Other names for the decorators of the instance, or `false` to omit one.
   *
   * For an app that has a decorator of the same name, for example `app.authenticate` in the style
   * of @fastify/jwt. The exported hooks work without decorators. In TypeScript, declare a new name
   * in `interface FastifyInstance`. The request decorator `auth` keeps its name.
   *
   * @default { authenticate: 'authenticate', requireClaims: 'requireClaims',
   *   requireFresh: 'requireFresh', tokenAuth: 'tokenAuth' }
   * @example
   * ```ts
   * decorators: { authenticate: 'requireToken' } // app.authenticate remains the app's own
   * ```
   */
  readonly decorators?: TokenAuthDecoratorNames
}

/** Routes that a scope leaves open. `null` if the scope is not protected as a whole. */
export type Protection = { readonly except: readonly string[] } | null

const exceptShape = { except: resolveExcept } satisfies Shape<ProtectExcept>

/** Checks of {@link DecoratorNames}. */
export const decoratorShape = {
  authenticate: createNameCheck('authenticate'),
  requireClaims: createNameCheck('requireClaims'),
  requireFresh: createNameCheck('requireFresh')
} satisfies Shape<DecoratorNames>

const tokenAuthDecoratorShape = {
  ...decoratorShape,
  tokenAuth: createNameCheck('tokenAuth')
} satisfies Shape<TokenAuthDecoratorNames>

/** Checks of {@link ProtectOptions}. */
export const protectShape = { protect: resolveProtect } satisfies Shape<ProtectOptions>

/** Checks of {@link ProtectionOptions}. */
export const protectionShape = {
  ...protectShape,
  decorators: createDecoratorsCheck(group(tokenAuthDecoratorShape))
} satisfies Shape<ProtectionOptions>

/** Creates a check for the names of decorators, which must differ from each other. */
export function createDecoratorsCheck<Names extends object> (check: Check<Names>): Check<Names> {
  return (value, path, isSet) => {
    const names = check(value, path, isSet)
    const used = Object.values(names).filter(name => name !== false)
    const twice = used.find((name, i) => used.indexOf(name) !== i)
    assert(twice === undefined, `"${path}" must not contain the name "${twice}" twice`)
    return names
  }
}

function createNameCheck (fallback: string): Check<string | false> {
  return (value = fallback, path) => {
    assert(
      value === false || (typeof value === 'string' && /^[A-Za-z_$][\w$]*$/.test(value)),
      `"${path}" must be the name of a property, or false`
    )
    return value
  }
}

function resolveProtect (value: unknown, path: string): Protection {
  if (value === undefined) {
    return null
  }

  if (value === 'all') {
    return { except: [] }
  }

  assert(
    typeof value === 'object' && value !== null,
    `"${path}" must be "all", or an object such as { except: ["/docs", "/docs/*"] }`
  )
  return resolveShape(exceptShape, value, path)
}

function resolveExcept (value: unknown, path: string): readonly string[] {
  assert(Array.isArray(value), `"${path}" must be an array of paths`)
  value.forEach((entry, i) => {
    assert(
      typeof entry === 'string' && /^\/[^*?#]*(?:(?<=[^/]\/)\*)?$/.test(entry),
      `"${path}[${i}]" must be a path such as "/docs", or "/docs/*" for all routes below "/docs/"`
    )
  })
  return [...value]
}
