import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { TokenAuthError } from '../errors.js'
import { addDecorator, assertFreeDecorators, decorateScope } from '../http/app-decorators.js'
import { readAccess } from '../http/authenticate.js'
import type { AccessCheck } from '../http/authenticate.js'
import { addErrorHeaders } from '../http/headers.js'
import { findRegistration } from '../http/registration.js'
import type { Registration } from '../http/registration.js'
import { createRouteLister } from '../http/unprotected-routes.js'
import { isProduction } from '../lib/production.js'
import { MINUTE } from '../lib/time.js'
import type { Millis } from '../lib/time.js'
import { protectionShape } from '../options/protection.js'
import type { ProtectionOptions } from '../options/protection.js'
import { rejectUnknownKeys, resolveShape } from '../options/validate.js'
import { toUserId } from '../sessions/user-id.js'
import type { UserId } from '../sessions/user-id.js'
import type { Auth, AuthClaims } from '../tokens/auth.js'

/** User whom {@link fakeAuth} signs in. */
export interface FakeUser {
  /** ID of the user, which becomes `request.auth.userId`. */
  readonly userId: UserId
  /**
   * Claims of the access token.
   *
   * @default {}
   */
  readonly claims?: Readonly<Partial<AuthClaims>>
  /**
   * ID of the session.
   *
   * @default 'fake-session'
   */
  readonly sessionId?: string
  /**
   * Authentication methods (RFC 8176).
   *
   * @default ['pwd']
   */
  readonly amr?: readonly string[]
  /**
   * Time of the login in milliseconds since 1970. Set it to the past to test `requireFresh`.
   *
   * @default the time of the request
   */
  readonly authenticatedAt?: Millis
  /**
   * OAuth client that acts for the user.
   *
   * @default null
   */
  readonly clientId?: string | null
}

/** Returns the user of a request, or `null` if it has none. */
export type GetFakeUser = (request: FakeAuthRequest) => FakeUser | null

/** Part of a Fastify request that {@link GetFakeUser} reads. */
export interface FakeAuthRequest {
  /** HTTP method. */
  readonly method: string
  /** Path with the query. */
  readonly url: string
  /** Headers with names in lower case. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
}

/**
 * Fastify plugin.
 *
 * The type does not depend on Fastify, so that a front end can use `createFaults` without Fastify.
 */
export type FakeAuthPlugin = (app: object) => Promise<void>

const DEFAULT_LIFETIME: Millis = 15 * MINUTE

/**
 * Creates a plugin that replaces `tokenAuth` or `tokenVerifier` in tests of routes.
 *
 * Routes that `authenticate` protects see the given user, whatever the request contains. It needs
 * no store, no secret and no tokens. Routes with `requireClaims` and `requireFresh` check the user
 * as usual. Routes with `tokenAuth: 'public'` in their `config` see no user, and those with
 * `'optional'` see the user if there is one. Only `unprotectedRoutes` of `app.tokenAuth` works: a
 * test of sessions needs `signIn`.
 *
 * The registration fails if `NODE_ENV` is `production`, or if the scope has a registration already.
 * A server that listens logs a warning.
 *
 * @param user - User of all requests, or `null` if they have none. A function returns the user of
 * each request. Without a user, `authenticate` rejects with `AUTH_ACCESS_MISSING` (401).
 * @param options - `decorators` and `protect`, as the app passes them to `tokenAuth`.
 * @throws TypeError if the user or an option is invalid or unknown.
 * @example
 * ```ts
 * import { fakeAuth } from 'fastify-token-auth/testing'
 *
 * const app = Fastify()
 * await app.register(fakeAuth({ userId: '1', claims: { role: 'admin' } }))
 * await app.register(routes)
 * const response = await app.inject('/admin')
 * ```
 */
export function fakeAuth (
  user: FakeUser | GetFakeUser | null,
  options: ProtectionOptions = {}
): FakeAuthPlugin {
  const { decorators, protect: protection } = resolveShape(protectionShape, options, 'fakeAuth')
  const getUser: GetFakeUser = typeof user === 'function' ? user : () => user

  if (typeof user !== 'function' && user !== null) {
    assertUser(user)
  }

  const plugin = fp(async (app: FastifyInstance) => {
    assertUsable(app)
    assertFreeDecorators(app, decorators, 'fakeAuth')
    const clock = Date.now

    const check: AccessCheck = request => {
      const access = readAccess(request)

      if (access === 'public') {
        return
      }

      const found = getUser(request as unknown as FakeAuthRequest)

      if (found === null) {
        if (access === 'optional') {
          return
        }

        throw new TokenAuthError('AUTH_ACCESS_MISSING')
      }

      assertUser(found)
      request.auth = createAuth(found, clock())
    }

    app.decorateRequest('auth', null)
    addErrorHeaders(app, { realm: 'auth', dpopAlgorithms: null })
    const unprotectedRoutes = createRouteLister(app, { jwks: false, metadata: false })
    decorateScope(
      app,
      { name: 'fakeAuth', clock, authenticate: check, unprotectedRoutes },
      { decorators, protection }
    )
    addDecorator(app, decorators.tokenAuth, createFakeTokenAuth(unprotectedRoutes))
    // A server whose environment lacks NODE_ENV could run it unnoticed.
    app.addHook('onListen', async () => {
      app.log.warn('fakeAuth accepts requests without tokens; use it in tests only')
    })
  }, { name: 'fastify-token-auth-fake', fastify: '5.x' })

  return plugin as FakeAuthPlugin
}

/** @throws Error in production, or if the scope has a registration. */
function assertUsable (app: FastifyInstance): void {
  if (isProduction()) {
    throw new Error(
      'fastify-token-auth: fakeAuth cannot be used if NODE_ENV is "production", because it ' +
        'accepts every request; register tokenAuth'
    )
  }

  if (findRegistration(app) !== null) {
    throw new Error(
      'fastify-token-auth: fakeAuth replaces tokenAuth and tokenVerifier; register only one of ' +
        'them in a scope'
    )
  }
}

const userShape = {
  userId: 0,
  claims: 0,
  sessionId: 0,
  amr: 0,
  authenticatedAt: 0,
  clientId: 0
} satisfies { [Name in keyof FakeUser]-?: unknown }

function assertUser (user: unknown): asserts user is FakeUser {
  rejectUnknownKeys(user, userShape, 'fakeAuth')
  toUserId(user['userId'] as UserId, 'fakeAuth')
}

function createAuth (
  {
    userId,
    claims = {},
    sessionId = 'fake-session',
    amr = ['pwd'],
    authenticatedAt,
    clientId = null
  }: FakeUser,
  now: Millis
): Auth {
  const seconds = Math.floor((authenticatedAt ?? now) / 1000)

  return Object.freeze({
    userId: toUserId(userId, 'fakeAuth'),
    sessionId,
    authenticatedAt: seconds * 1000,
    amr: Object.freeze([...amr]),
    clientId,
    claims: Object.freeze({ ...claims }) as AuthClaims,
    expiresAt: now + DEFAULT_LIFETIME
  })
}

/** Creates `app.tokenAuth` without sessions. Every method throws, except `unprotectedRoutes`. */
function createFakeTokenAuth (unprotectedRoutes: Registration['unprotectedRoutes']): object {
  const tokenAuth = new Proxy({ unprotectedRoutes }, {
    get (target, name) {
      if (typeof name === 'symbol' || Object.hasOwn(target, name)) {
        return Reflect.get(target, name) as unknown
      }

      return () => {
        throw new Error(
          `fastify-token-auth: app.tokenAuth.${name} does not work with fakeAuth; register ` +
            'tokenAuth with a MemoryStore, and use signIn'
        )
      }
    }
  })

  // Fastify would treat the proxy itself as a getter, because it has every member.
  return { getter: () => tokenAuth }
}
