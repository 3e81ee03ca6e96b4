import type { OneTimeTokens } from './account/one-time-tokens.js'
import type { OwnTokensContext } from './account/own-tokens.js'
import type {
  ElevatedRequest,
  ElevateOptions,
  OpenInCookieOptions,
  OpenOptions,
  SessionRequest,
  TokenAuth
} from './decorators.js'
import { TokenAuthError } from './errors.js'
import { getCaller } from './http/authorization.js'
import type { CookieReply } from './http/cookies.js'
import { getDisconnectSignal } from './http/disconnect.js'
import type { GetProof } from './http/dpop.js'
import type { RequestElevation } from './http/elevation.js'
import type { Follow } from './http/follow.js'
import {
  assertCredentials,
  assertDevice,
  assertMethods,
  assertSessionRequest
} from './http/session-arguments.js'
import type { TokenTransport } from './http/token-transport.js'
import type { Millis } from './lib/time.js'
import { createTypeError } from './lib/type-error.js'
import { requestForApp } from './login/hash-queue.js'
import type { OAuth } from './oauth/routes.js'
import { rejectUnknownKeys } from './options/validate.js'
import type { CookieResponse, TokenResponse } from './protocol.js'
import type { Services } from './services.js'
import type { NewSessionInput } from './sessions/new-session.js'
import { getRevokedSince } from './sessions/sessions.js'
import type { IssuedTokens } from './sessions/token-issuer.js'
import type { AuthUser, PublicUser } from './sessions/user-callbacks.js'
import { toUserId } from './sessions/user-id.js'
import type { UserId } from './sessions/user-id.js'

/** Collaborators of `app.tokenAuth`. */
export type TokenAuthContext =
  & Pick<
    Services,
    | 'users'
    | 'sessions'
    | 'login'
    | 'passwords'
    | 'throttle'
    | 'sharesAttempts'
    | 'sweeper'
    | 'keyRing'
    | 'health'
  >
  & {
    readonly clock: () => Millis
    readonly transport: TokenTransport
    readonly elevation: RequestElevation
    readonly follow: Follow
    /** `null` if OAuth clients are not configured. */
    readonly oauth: OAuth | null
    readonly getProof: GetProof
    readonly unprotectedRoutes: TokenAuth['unprotectedRoutes']
    readonly oneTime: OwnTokensContext
  }

/** Maximum characters of `amr`. With the largest claims, tokens stay below their maximum length. */
const MAX_AMR_LENGTH = 512
/** Maximum characters of the `amr` of a step-up, whose tokens also contain that of the login. */
const MAX_STEP_UP_LENGTH = 128

const openShape = {
  device: true,
  amr: true,
  clientId: true,
  reply: true,
  transport: true,
  persistent: true
} satisfies Record<keyof OpenInCookieOptions, true>

const elevateShape = { amr: true, reply: true } satisfies Record<keyof ElevateOptions, true>

const loginShape = { login: true, password: true, deviceToken: true } satisfies Record<
  keyof Parameters<TokenAuth['verifyLogin']>[0],
  true
>

const keepShape = { keep: true }

/** Creates `app.tokenAuth`. */
export function createTokenAuth (context: TokenAuthContext): TokenAuth {
  const { users, sessions, passwords, throttle, sweeper, transport, keyRing, health } = context
  const { oauth, getProof, clock, unprotectedRoutes, login, elevation, follow } = context
  const { oneTime, oneTime: { feed }, sharesAttempts } = context

  async function openSession (
    userId: UserId,
    request: SessionRequest,
    options?: OpenOptions
  ): Promise<TokenResponse<PublicUser>>
  async function openSession (
    userId: UserId,
    request: SessionRequest,
    options: OpenInCookieOptions
  ): Promise<TokenResponse<PublicUser> | CookieResponse<PublicUser>>

  async function openSession (
    userId: UserId,
    request: SessionRequest,
    options: Partial<OpenInCookieOptions> = {}
  ): Promise<TokenResponse<PublicUser> | CookieResponse<PublicUser>> {
    const id = toUserId(userId, 'openSession')
    assertSessionRequest(request, 'openSession')
    rejectUnknownKeys(options, openShape, 'openSession')
    const { device = null, amr = [], reply, persistent = false, clientId = null } = options
    const { transport: requested } = options
    assertDevice(device)
    assertMethods(amr, 'openSession', MAX_AMR_LENGTH)

    if (clientId !== null && oauth?.clients.has(clientId) !== true) {
      throw createTypeError('"clientId" of openSession must be one of "oauth.clients"')
    }

    await feed.catchUp()
    const inCookie = clientId === null && transport.opensInCookie(request, reply, requested)
    const issued = await openActive(id, {
      by: getCaller(request),
      device,
      persistent,
      authenticatedAt: clock(),
      amr,
      clientId,
      proof: 'originalUrl' in request ? getProof(request) : null,
      replaces: transport.readReplacedToken(request, inCookie),
      actor: 'app',
      assertSendable: tokens => {
        transport.assertSendable(tokens, inCookie)
      }
    })

    if (inCookie && reply !== undefined) {
      transport.removePrevious(reply)
    }

    return transport.toResponse(reply, issued, inCookie)
  }

  // If all sessions of the user were revoked meanwhile, the user is looked up once more.
  async function openActive (
    userId: string,
    input: NewSessionInput,
    isSecond = false
  ): Promise<IssuedTokens> {
    const profile = await users.findForSession(userId)

    if (profile === null) {
      throw new TokenAuthError('AUTH_CREDENTIALS_REJECTED')
    }

    try {
      return await sessions.open(profile, input)
    } catch (error) {
      const revokedAt = getRevokedSince(error)

      if (revokedAt === null) {
        throw error
      }

      if (isSecond) {
        throw new TokenAuthError('AUTH_CREDENTIALS_REJECTED')
      }

      return openActive(userId, { ...input, authenticatedAt: revokedAt + 1 }, true)
    }
  }

  async function elevate (
    request: ElevatedRequest,
    options: ElevateOptions & { readonly reply: CookieReply }
  ): Promise<TokenResponse<PublicUser> | CookieResponse<PublicUser>>
  async function elevate (
    request: ElevatedRequest,
    options: ElevateOptions
  ): Promise<TokenResponse<PublicUser>>

  async function elevate (
    request: ElevatedRequest,
    options: ElevateOptions
  ): Promise<TokenResponse<PublicUser> | CookieResponse<PublicUser>> {
    rejectUnknownKeys(options, elevateShape, 'elevate')
    const { amr, reply } = options
    assertMethods(amr, 'elevate', MAX_STEP_UP_LENGTH)

    if (amr.length === 0) {
      throw createTypeError('"amr" of elevate must name the methods of the step-up')
    }

    const presented = elevation.read(request)

    if (presented.inCookie && reply === undefined) {
      throw createTypeError(
        'elevate requires { reply }, because the access token of the request is in a cookie'
      )
    }

    const issued = await elevation.elevate(request, presented, { amr, authenticatedAt: clock() })
    return transport.toResponse(reply, issued, presented.inCookie)
  }

  async function verifyLogin<User extends AuthUser> (
    credentials: Parameters<TokenAuth['verifyLogin']>[0],
    request: SessionRequest
  ): Promise<User> {
    assertSessionRequest(request, 'verifyLogin')
    rejectUnknownKeys(credentials, loginShape, 'verifyLogin')
    const { login: name, password, deviceToken = null } = credentials
    assertCredentials(name, password, deviceToken)
    await feed.catchUp()
    const { record } = await login.verifyLogin({
      login: name,
      password,
      deviceToken: transport.readDeviceToken(request, true) ?? deviceToken,
      signal: getDisconnectSignal({ raw: 'raw' in request ? request.raw : {} })
    }, getCaller(request))

    // The record of `users.findByLogin`, whose type only the app knows.
    return record as User
  }

  return {
    openSession,
    elevate,
    follow,
    verifyLogin,
    async listSessions (userId) {
      const live = await sessions.list(toUserId(userId, 'listSessions'))
      return live.map(({ secretHash, ...info }) => info)
    },
    revokeSession: sessionId => sessions.revokeById(sessionId, 'revoked'),
    revokeAll: () => sessions.revokeRealm('revoked'),
    async revokeUser (userId, options = {}) {
      const id = toUserId(userId, 'revokeUser')
      rejectUnknownKeys(options, keepShape, 'revokeUser')
      return sessions.revokeUser(id, 'revoked', options.keep)
    },
    async passwordChanged (userId, options = {}) {
      const id = toUserId(userId, 'passwordChanged')
      rejectUnknownKeys(options, keepShape, 'passwordChanged')
      // The look-up comes first, so that its failure changes nothing.
      const logins = throttle === null ? [] : await users.getLogins(id)
      const count = await sessions.revokeUser(id, 'password-changed', options.keep)
      await throttle?.resetUser(id, logins)
      return count
    },
    hashPassword: password => passwords.hash(password, requestForApp()),
    async verifyPassword (hash, password) {
      const result = await passwords.check(hash, password, requestForApp())

      if (result === 'uncheckable') {
        throw new Error('fastify-token-auth: run "npm install @node-rs/bcrypt" for bcrypt hashes')
      }

      return result === 'right' || result === 'weak'
    },
    rotateKeys (keys) {
      if (keyRing === null) {
        throw createTypeError('rotateKeys requires the option "keys" at startup')
      }

      keyRing.rotate(keys)
    },
    sweep: () => sweeper.sweep(),
    health: () => health.check(),
    oneTimeTokens: loadOneTimeTokens(oneTime, sharesAttempts),
    unprotectedRoutes
  }
}

// Loads the module at the first call, so that it costs other apps nothing.
function loadOneTimeTokens (context: OwnTokensContext, isShared: boolean): OneTimeTokens {
  let loaded: Promise<OneTimeTokens> | undefined

  const load = (): Promise<OneTimeTokens> => {
    loaded ??= import('./account/own-tokens.js').then(({ createOwnTokens }) =>
      createOwnTokens(context, isShared)
    )
    return loaded
  }

  return {
    create: async settings => (await load()).create(settings),
    verify: async (token, expected) => (await load()).verify(token, expected),
    redeem: async (token, expected) => (await load()).redeem(token, expected)
  }
}
