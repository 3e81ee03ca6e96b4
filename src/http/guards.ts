import { TokenAuthError } from '../errors.js'
import { parseDuration } from '../lib/duration.js'
import type { Duration } from '../lib/duration.js'
import { CLOCK_TOLERANCE } from '../lib/time.js'
import type { Millis } from '../lib/time.js'
import { createTypeError } from '../lib/type-error.js'
import { rejectUnknownKeys } from '../options/validate.js'
import type { Auth, AuthClaims } from '../tokens/auth.js'
import { createAuthenticate, createHook } from './authenticate.js'
import type { Authenticate, AuthenticatedRequest } from './authenticate.js'

type Member<Claim> = Claim extends ReadonlyArray<infer Item> ? Item : Claim
type Accepted<Claim> = Member<Claim> | ReadonlyArray<Member<Claim>>

/**
 * Accepted values of access token claims: one value, or a list of alternatives.
 *
 * A claim that is a list must contain an accepted value.
 *
 * @example
 * ```ts
 * const requirements: ClaimRequirements = { role: ['admin', 'support'] }
 * ```
 */
export type ClaimRequirements = {
  readonly [Name in keyof AuthClaims]?: Accepted<NonNullable<AuthClaims[Name]>>
}

/** Options of `requireFresh`. */
export interface FreshOptions {
  /**
   * Accepted authentication methods (RFC 8176). The login or step-up must have used one of them.
   *
   * @default any method
   * @example
   * ```ts
   * requireFresh('5m', { amr: ['mfa', 'hwk'] }) // two factors, or a security key
   * ```
   */
  readonly amr?: readonly string[]
}

/** Creates `app.requireFresh`. */
export function createRequireFresh (
  clock: () => Millis
): (maxAge: Duration, options?: FreshOptions) => Authenticate {
  return (maxAge, options) => {
    const assertFresh = createFreshCheck(maxAge, options)

    return createGuard(auth => {
      assertFresh(auth, clock())
    })
  }
}

/**
 * Creates the check of `requireFresh`, which throws `AUTH_REAUTHENTICATION_REQUIRED`.
 *
 * @throws TypeError if `maxAge` is not a duration above 0, or an option is invalid or unknown.
 */
export function createFreshCheck (
  maxAge: Duration,
  options: FreshOptions = {}
): (auth: Auth, now: Millis) => void {
  const limit = parseMaxAge(maxAge)
  const accepted = readMethods(options)

  return ({ authenticatedAt, amr }, now) => {
    const age = now - authenticatedAt

    // A login time in the future comes from a wrong clock.
    if (age > limit || age < -CLOCK_TOLERANCE) {
      throw new TokenAuthError('AUTH_REAUTHENTICATION_REQUIRED', {
        hint: `login must be at most ${Math.floor(limit / 1000)} s old`
      })
    }

    if (accepted !== null && !amr.some(method => accepted.has(method))) {
      throw new TokenAuthError('AUTH_REAUTHENTICATION_REQUIRED', {
        hint: `login must use a method of: ${[...accepted].join(', ')}`
      })
    }
  }
}

function parseMaxAge (maxAge: Duration): Millis {
  const limit = parseDuration(maxAge)

  if (limit === null || limit <= 0) {
    throw createTypeError('"maxAge" of requireFresh must be a duration above 0, such as "5m"')
  }

  return limit
}

function readMethods (options: FreshOptions): ReadonlySet<string> | null {
  rejectUnknownKeys(options, { amr: true }, 'requireFresh')
  const { amr } = options

  if (amr === undefined) {
    return null
  }

  // The message of the error, and a challenge, contain the methods.
  if (!Array.isArray(amr) || amr.length === 0 || !amr.every(isMethodName)) {
    throw createTypeError(
      '"amr" of requireFresh must be an array of methods (RFC 8176), such as ["mfa", "hwk"]'
    )
  }

  return new Set(amr)
}

function isMethodName (method: unknown): boolean {
  return typeof method === 'string' && /^[\w:./-]+$/.test(method)
}

/**
 * Creates a hook that requires claims of the access token. It is `app.requireClaims`.
 *
 * @throws TypeError if no claim is required, or a claim has no accepted value.
 */
export function createRequireClaims (requirements: ClaimRequirements): Authenticate {
  return createGuard(createClaimsCheck(requirements))
}

/**
 * Creates the check of `requireClaims`, which throws `AUTH_CLAIMS_INSUFFICIENT`.
 *
 * @throws TypeError if no claim is required, or a claim has no accepted value.
 */
export function createClaimsCheck (requirements: ClaimRequirements): (auth: Auth) => void {
  const required = Object.entries(requirements as Record<string, unknown>).map(([name, value]) =>
    [name, [value].flat()] as const
  )

  if (
    required.length === 0 ||
    required.some(([, accepted]) => accepted.length === 0 || accepted.includes(undefined))
  ) {
    throw createTypeError(
      '"requirements" of requireClaims must be claims with values, such as { role: "admin" }'
    )
  }

  return ({ claims }) => {
    const actual = claims as Record<string, unknown>
    const isAccepted = ([name, accepted]: typeof required[number]): boolean =>
      Object.hasOwn(actual, name) && [actual[name]].flat()
        .some(value => accepted.includes(value))

    if (!required.every(isAccepted)) {
      throw new TokenAuthError('AUTH_CLAIMS_INSUFFICIENT')
    }
  }
}

/**
 * Extends `authenticate` to reject tokens that were issued to OAuth clients.
 *
 * An OAuth client must not read or revoke the other sessions of its user.
 */
export function restrictToFirstParty (authenticate: Authenticate): Authenticate {
  const assertFirstParty = createGuard(({ clientId }) => {
    if (clientId !== null) {
      throw new TokenAuthError('AUTH_CLAIMS_INSUFFICIENT')
    }
  })

  return createAuthenticate(async request => {
    await authenticate(request, null)
    await assertFirstParty(request, null)
  })
}

/**
 * Returns the verified access token of a request.
 *
 * @throws TokenAuthError `AUTH_ACCESS_MISSING` if no `authenticate` hook has accepted one.
 */
export function getRequiredAuth ({ auth }: Pick<AuthenticatedRequest, 'auth'>): Auth {
  // `undefined` in a scope without a registration.
  if (auth == null) {
    throw new TokenAuthError('AUTH_ACCESS_MISSING')
  }

  return auth
}

function createGuard (assertAllowed: (auth: Auth) => void): Authenticate {
  return createHook(request => {
    assertAllowed(getRequiredAuth(request))
  })
}
