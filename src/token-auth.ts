import type { OpenInCookieOptions, OpenOptions, SessionRequest, TokenAuth } from './decorators.js'
import { TokenAuthError } from './errors.js'
import { getCaller } from './http/authorization.js'
import type { GetProof } from './http/dpop.js'
import type { TokenTransport } from './http/token-transport.js'
import type { Millis } from './lib/time.js'
import { requestForApp } from './login/hash-queue.js'
import type { OAuth } from './oauth/routes.js'
import type { CookieResponse, TokenResponse } from './protocol.js'
import type { Services } from './services.js'
import type { NewSessionInput } from './sessions/new-session.js'
import { getRevokedSince } from './sessions/sessions.js'
import type { IssuedTokens } from './sessions/token-issuer.js'

/** Collaborators of `app.tokenAuth`. */
export type TokenAuthContext =
  & Pick<
    Services,
    'users' | 'sessions' | 'passwords' | 'throttle' | 'sweeper' | 'keyRing' | 'health'
  >
  & {
    readonly clock: () => Millis
    readonly transport: TokenTransport
    /** `null` if OAuth clients are not configured. */
    readonly oauth: OAuth | null
    readonly getProof: GetProof
  }

/** Creates `app.tokenAuth`. */
export function createTokenAuth (context: TokenAuthContext): TokenAuth {
  const { users, sessions, passwords, throttle, sweeper, transport, keyRing, health } = context
  const { oauth, getProof, clock } = context

  async function openSession (
    userId: string,
    request: SessionRequest,
    options?: OpenOptions
  ): Promise<TokenResponse>
  async function openSession (
    userId: string,
    request: SessionRequest,
    options: OpenInCookieOptions
  ): Promise<TokenResponse | CookieResponse>

  async function openSession (
    userId: string,
    request: SessionRequest,
    options: Partial<OpenInCookieOptions> = {}
  ): Promise<TokenResponse | CookieResponse> {
    const { device = null, amr = [], reply, persistent = false, clientId = null } = options

    if (clientId !== null && oauth?.clients.has(clientId) !== true) {
      throw new TypeError('"clientId" of openSession must be one of "oauth.clients"')
    }

    const inCookie = clientId === null && transport.opensInCookie(reply)
    const issued = await openActive(userId, {
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
    return transport.toResponse(reply, issued, inCookie)
  }

  // If all sessions of the user were revoked meanwhile, the user is looked up once more.
  async function openActive (
    userId: string,
    input: NewSessionInput,
    isSecond = false
  ): Promise<IssuedTokens> {
    const profile = await users.findActive(userId)

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

  return {
    openSession,
    async listSessions (userId) {
      const live = await sessions.list(userId)
      return live.map(({ secretHash, ...info }) => info)
    },
    revokeSession: sessionId => sessions.revokeById(sessionId, 'revoked'),
    revokeAll: () => sessions.revokeRealm('revoked'),
    revokeUser: (userId, { keep } = {}) => sessions.revokeUser(userId, 'revoked', keep),
    async passwordChanged (userId, { keep } = {}) {
      // Looked up first, so that a failure changes nothing.
      const logins = throttle === null ? [] : await users.getLogins(userId)
      const count = await sessions.revokeUser(userId, 'password-changed', keep)
      await throttle?.forget(userId, logins)
      return count
    },
    hashPassword: password => passwords.hash(password, requestForApp()),
    async verifyPassword (hash, password) {
      const result = await passwords.check(hash, password, requestForApp())

      if (result === 'uncheckable') {
        throw new Error('bcrypt hashes require @node-rs/bcrypt; run "npm install @node-rs/bcrypt"')
      }

      return result === 'right' || result === 'weak'
    },
    rotateKeys (keys) {
      if (keyRing === null) {
        throw new TypeError('rotateKeys requires the option "keys" at startup')
      }

      keyRing.rotate(keys)
    },
    sweep: () => sweeper.sweep(),
    health: () => health.check()
  }
}
