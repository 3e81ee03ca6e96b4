// `app.tokenAuth`: what the routes do, for the app's own code.

import { getCaller } from './http/authorization.js'
import type { Passwords } from './login/passwords.js'
import type { OpenInCookieOptions, OpenOptions, SessionRequest, TokenAuth } from './decorators.js'
import { TokenAuthError } from './errors.js'
import type { CookieResponse, TokenResponse } from './protocol.js'
import type { GetProof } from './http/dpop.js'
import type { TokenTransport } from './http/token-transport.js'
import type { Clients } from './oauth/clients.js'
import { isRevokedSinceError } from './sessions/sessions.js'
import type { KeyRing } from './tokens/key-ring.js'
import type { Sessions } from './sessions/sessions.js'
import type { Sweeper } from './stores/sweeper.js'
import type { Throttle } from './throttle/throttle.js'
import type { UserDirectory } from './sessions/users.js'

export interface TokenAuthContext {
  readonly users: UserDirectory
  readonly sessions: Sessions
  readonly passwords: Passwords
  /** `null` where logins are not throttled. */
  readonly throttle: Throttle | null
  readonly sweeper: Sweeper
  readonly transport: TokenTransport
  /** `null` where access tokens are signed by a derived key. */
  readonly keyRing: KeyRing | null
  readonly clients: Clients | null
  readonly proofOf: GetProof
}

/** */
export function createTokenAuth (context: TokenAuthContext): TokenAuth {
  const { users, sessions, passwords, throttle, sweeper, transport, keyRing, clients, proofOf } =
    context

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
    const { device, amr = [], reply, persistent = false, clientId = null } = options

    if (clientId !== null && clients?.has(clientId) !== true) {
      throw new TypeError('openSession takes a clientId of oauth.clients')
    }

    const inCookie = clientId === null && transport.opensInCookie(reply)
    const replaced = transport.replacedBy(request, inCookie)
    const authenticatedAt = sessions.loginStartedAt()
    const profile = await users.findActive(userId)

    if (profile === null) {
      throw new TokenAuthError('AUTH_CREDENTIALS_REJECTED')
    }

    try {
      const by = getCaller(request)
      const proof = 'originalUrl' in request ? proofOf(request) : null
      const opening = {
        by,
        device: device ?? null,
        persistent,
        authenticatedAt,
        amr,
        clientId,
        proof
      }
      const grant = await sessions.open(profile, opening)
      await sessions.replace(replaced)
      return transport.toResponse(reply, grant, inCookie)
    } catch (error) {
      throw isRevokedSinceError(error) ? new TokenAuthError('AUTH_CREDENTIALS_REJECTED') : error
    }
  }

  return {
    openSession,
    async listSessions (userId) {
      const listed = await sessions.list(userId)
      return listed.map(({ secretHash, ...info }) => info)
    },
    revokeSession: sessionId => sessions.end(sessionId, 'revoked'),
    revokeUser: (userId, { keep } = {}) => sessions.endAll(userId, 'revoked', keep),
    async passwordChanged (userId, { keep } = {}) {
      // First, so that what fails has changed nothing.
      const names = throttle === null ? [] : await users.namesOf(userId)
      const count = await sessions.endAll(userId, 'password-changed', keep)
      await throttle?.forget(userId, names)
      return count
    },
    hashPassword: password => passwords.hash(password),
    hashLoad: () => passwords.load,
    async verifyPassword (hash, password) {
      const result = await passwords.check(hash, password)

      if (result === 'uncheckable') {
        throw new Error('A hash of bcrypt cannot be checked: npm install @node-rs/bcrypt')
      }

      return result === 'right' || result === 'weak'
    },
    rotateKeys (keys) {
      if (keyRing === null) {
        throw new TypeError('rotateKeys needs an app that began with the option keys')
      }

      keyRing.rotate(keys)
    },
    sweep: () => sweeper.sweep()
  }
}
