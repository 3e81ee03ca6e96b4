import { assert, rejectUnknownKeys } from '../options/validate.js'
import type { ResolvedOptions } from '../options/resolve.js'
import type { Millis } from '../lib/time.js'
import { SECOND } from '../lib/time.js'
import type { NewSessionInput } from '../sessions/new-session.js'
import { getRevokedSince } from '../sessions/sessions.js'
import type { Sessions } from '../sessions/sessions.js'
import type { IssuedTokens, TokenIssuer } from '../sessions/token-issuer.js'
import { toUserId } from '../sessions/user-id.js'
import type { UserId } from '../sessions/user-id.js'
import type { Profile, UserDirectory } from '../sessions/users.js'
import { findReservedClaim } from '../tokens/access-token.js'
import type { SignInOptions } from './sign-in-options.js'
import type { TokenTransport } from './token-transport.js'

/** Tokens that the client of a session would have, and how it would have received them. */
export interface TestTokens {
  readonly accessToken: string
  /** `null` if refresh tokens are disabled. */
  readonly refreshToken: string | null
  /** Whether the client sends the access token in the `Authorization` header. */
  readonly isBearer: boolean
  /** `Set-Cookie` headers of the response to a login. Empty without cookies. */
  readonly setCookies: readonly string[]
}

/** Session that a test opened, as the server knows it. */
export interface OpenedTestSession {
  readonly userId: string
  readonly sessionId: string
  readonly tokens: TestTokens
  /** Returns the same tokens with an access token that has expired. Changes no session. */
  expire(): TestTokens
  /** Revokes the session. This process rejects its access tokens immediately. */
  revoke(): Promise<void>
}

/**
 * Opens sessions for tests, without a password.
 *
 * Only a registration that started without `NODE_ENV=production` has it. Only `signIn` of
 * `fastify-token-auth/testing` uses it.
 */
export interface TestSessions {
  /** Whether the app is ready. */
  isStarted(): boolean
  /**
   * Opens a session like a login.
   *
   * @throws Error if the user is unknown or disabled, or the registration requires DPoP.
   * @throws TypeError if an option is invalid or unknown.
   */
  open(userId: UserId, options: SignInOptions): Promise<OpenedTestSession>
}

/** Settings and collaborators of {@link TestSessions}. */
export interface TestSessionsContext {
  readonly users: UserDirectory
  readonly sessions: Sessions
  readonly issuer: TokenIssuer
  readonly transport: TokenTransport
  readonly options: Pick<ResolvedOptions, 'transport' | 'dpop' | 'accessLifetime'>
  readonly clock: () => Millis
  readonly isStarted: () => boolean
}

const optionNames = { claims: 0, amr: 0, authenticatedAt: 0, transport: 0, domain: 0 } satisfies {
  [Name in keyof SignInOptions]-?: unknown
}

/** Creates the part of a registration that `signIn` uses. */
export function createTestSessions (context: TestSessionsContext): TestSessions {
  const { sessions, issuer, options: { accessLifetime }, clock, isStarted } = context

  return {
    isStarted,
    async open (userId, options) {
      assertOptions(options)
      const inCookie = usesCookies(context, options)
      const profile = addClaims(
        await findProfile(context.users, toUserId(userId, 'signIn')),
        options.claims
      )
      const input = createInput(context, options, inCookie)
      const issued = await openSession(sessions, profile, input, options)
      const { accessToken: access, refreshToken: refresh } = issued
      const { sessionId } = sessions.findOwner({ refresh, access }) as { sessionId: string }

      return {
        userId: profile.userId,
        sessionId,
        tokens: createTokens(context.transport, issued, inCookie),
        expire () {
          // Expires a second ago, because the clock of a database may step back a little.
          const issuedAt = clock() - accessLifetime - SECOND
          const { token } = issuer.issueAccessToken(
            {
              userId: profile.userId,
              sessionId,
              generation: 0,
              authenticatedAt: input.authenticatedAt,
              amr: input.amr,
              clientId: null,
              thumbprint: null,
              claims: { ...profile.claims }
            },
            issuedAt,
            Infinity
          )
          return createTokens(context.transport, { ...issued, accessToken: token }, inCookie)
        },
        async revoke () {
          await sessions.revokeById(sessionId, 'revoked')
        }
      }
    }
  }
}

function assertOptions (options: unknown): void {
  rejectUnknownKeys(options, optionNames, 'signIn')
}

function usesCookies (
  { options: { transport: { kind }, dpop } }: TestSessionsContext,
  { transport = kind === 'cookie' ? 'cookie' : 'body' }: SignInOptions
): boolean {
  if (dpop?.required === true) {
    throw new Error(
      'signIn cannot prove possession of a key, which "dpop.required" requires; log in through ' +
        'the route with a DPoP proof'
    )
  }

  assert(
    transport === 'body' || transport === 'cookie',
    '"signIn.transport" must be "body" or "cookie"'
  )
  assert(
    kind === 'both' || transport === (kind === 'cookie' ? 'cookie' : 'body'),
    `"signIn.transport" cannot be "${transport}", because ${describeKind(kind)}; remove it, or ` +
      'set "refreshToken.transport" to "both"'
  )
  return transport === 'cookie'
}

function describeKind (kind: ResolvedOptions['transport']['kind']): string {
  return kind === 'none' ? '"refreshToken" is false' : `"refreshToken.transport" is "${kind}"`
}

async function findProfile (users: UserDirectory, userId: string): Promise<Profile> {
  const user = await users.findById(userId)

  if (user === null || user.isDisabled) {
    const problem = user === null ? 'returned no user' : 'returned a disabled user'
    throw new Error(`"users.findById" ${problem} for the ID ${JSON.stringify(userId)} of signIn`)
  }

  return users.createProfile(user)
}

function addClaims (profile: Profile, claims: SignInOptions['claims'] = {}): Profile {
  assert(
    typeof claims === 'object' && claims !== null,
    '"signIn.claims" must be an object, such as { role: "admin" }'
  )
  const reserved = findReservedClaim(claims)
  assert(
    reserved === undefined,
    `"signIn.claims" must not contain the reserved claim "${reserved ?? ''}"`
  )
  return { ...profile, claims: { ...profile.claims, ...claims } }
}

function createInput (
  { transport, clock }: TestSessionsContext,
  { amr = ['pwd'], authenticatedAt }: SignInOptions,
  inCookie: boolean
): NewSessionInput {
  const now = clock()
  assert(
    Array.isArray(amr) && amr.every(method => typeof method === 'string'),
    '"signIn.amr" must be an array of strings, such as ["pwd", "otp"]'
  )
  assert(
    authenticatedAt === undefined ||
      (typeof authenticatedAt === 'number' && authenticatedAt >= 0 && authenticatedAt <= now),
    '"signIn.authenticatedAt" must be milliseconds since 1970, and not in the future'
  )

  return {
    by: { address: null, userAgent: null },
    device: null,
    persistent: false,
    authenticatedAt: Math.floor(authenticatedAt ?? now),
    amr,
    clientId: null,
    proof: null,
    replaces: null,
    actor: 'app',
    assertSendable: issued => {
      transport.assertSendable(issued, inCookie)
    }
  }
}

async function openSession (
  sessions: Sessions,
  profile: Profile,
  input: NewSessionInput,
  { authenticatedAt }: SignInOptions
): Promise<IssuedTokens> {
  try {
    return await sessions.open(profile, input)
  } catch (error) {
    const revokedAt = getRevokedSince(error)

    if (revokedAt === null) {
      throw error
    }

    if (authenticatedAt !== undefined) {
      throw new Error(
        '"signIn.authenticatedAt" must be after the last revocation of all sessions of the user',
        { cause: error }
      )
    }

    // The test has just revoked all sessions, in the same millisecond.
    return sessions.open(profile, { ...input, authenticatedAt: revokedAt + 1 })
  }
}

function createTokens (
  transport: TokenTransport,
  issued: IssuedTokens,
  inCookie: boolean
): TestTokens {
  const { accessToken, refreshToken } = issued
  const setCookies: string[] = []
  const response = transport.toResponse(
    {
      header (name, value) {
        if (name === 'set-cookie') {
          setCookies.push(value)
        }
      }
    },
    issued,
    inCookie
  )
  return { accessToken, refreshToken, isBearer: 'access_token' in response, setCookies }
}
