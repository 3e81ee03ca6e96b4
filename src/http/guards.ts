// onRequest hooks that come after `authenticate`: how long ago its user has logged in, and what its claims must be.

import type { Authenticate, AuthenticatedRequest } from './authenticate.js'
import { CLOCK_TOLERANCE } from '../domain/rotation.js'
import { parseDuration } from '../lib/duration.js'
import type { Duration } from '../lib/duration.js'
import { TokenAuthError } from '../errors.js'
import type { Auth, AuthClaims } from '../tokens/auth.js'
import type { Millis } from '../lib/time.js'

/** A Fastify `onRequest` hook, also good as a function of `@fastify/auth`, in a list behind `app.authenticate`. */
export type AuthGuard = (
  request: AuthenticatedRequest,
  reply: unknown,
  done: (error?: Error) => void
) => void

type Accepted<Claim> = Claim extends ReadonlyArray<infer Member> ? Member | readonly Member[] :
  Claim | readonly Claim[]

/** For each claim the value that it must have, or several of which one will do. A claim that is a list must hold it. */
export type ClaimRequirements = {
  readonly [Name in keyof AuthClaims]?: Accepted<NonNullable<AuthClaims[Name]>>
}

/** @throws TypeError where it is no duration */
export function createRequireFresh (clock: () => Millis): (maxAge: Duration) => AuthGuard {
  return maxAge => {
    const limit = parseDuration(maxAge)

    if (limit === null || limit <= 0) {
      throw new TypeError('requireFresh takes a duration such as "5m"')
    }

    return createGuard(({ authenticatedAt }) => {
      const age = clock() - authenticatedAt

      // A login of the future was timed by a clock that was wrong.
      if (age <= limit && age >= -CLOCK_TOLERANCE) {
        return
      }

      throw new TokenAuthError('AUTH_REAUTHENTICATION_REQUIRED', {
        hint: `log in again, at most ${Math.floor(limit / 1000)} s ago`
      })
    })
  }
}

/** @throws TypeError where nothing is demanded, or `undefined` */
export function requireClaims (demands: ClaimRequirements): AuthGuard {
  const list = Object.entries(demands as Record<string, unknown>).map(([name, value]) =>
    [name, [value].flat()] as const
  )

  if (
    list.length === 0 ||
    list.some(([, values]) => values.length === 0 || values.includes(undefined))
  ) {
    throw new TypeError(
      'requireClaims takes claims and the values that they must have, such as { role: "admin" }'
    )
  }

  return createGuard(({ claims }) => {
    const held = claims as Record<string, unknown>
    const isHeld = ([name, values]: typeof list[number]): boolean =>
      Object.hasOwn(held, name) && [held[name]].flat()
        .some(value => values.includes(value))

    if (!list.every(isHeld)) {
      throw new TokenAuthError('AUTH_CLAIMS_INSUFFICIENT')
    }
  })
}

/**
 * The same hook for the app's own sessions alone: what an OAuth client was given is not good for ending other sessions, say.
 * @param authenticate The hook that comes first.
 */
export function requireFirstParty (authenticate: Authenticate): Authenticate {
  const assertOwn = createGuard(({ clientId }) => {
    if (clientId !== null) {
      throw new TokenAuthError('AUTH_CLAIMS_INSUFFICIENT')
    }
  })

  return (request, reply, done) => {
    authenticate(
      request,
      reply,
      error => error === undefined ? assertOwn(request, reply, done) : done(error)
    )
  }
}

function createGuard (demands: (auth: Auth) => void): AuthGuard {
  return function guard ({ auth }, _reply, done) {
    try {
      if (auth === null) {
        throw new TokenAuthError('AUTH_ACCESS_MISSING')
      }

      demands(auth)
    } catch (error) {
      return done(error as Error)
    }

    done()
  }
}
