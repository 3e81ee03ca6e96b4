import type { FastifyInstance } from 'fastify'
import { TokenAuthError } from '../errors.js'
import type { Follow } from '../http/follow.js'
import { getRequiredAuth } from '../http/guards.js'
import type { FollowableToken } from '../live/follower.js'
import { SessionFollowers } from '../live/session-followers.js'
import type { SessionFollowersContext } from '../live/session-followers.js'
import type { Auth } from '../tokens/auth.js'

/**
 * Verified tokens by their `auth`, which becomes `request.auth`.
 *
 * A cache may drop a token while a handler runs. This map keeps it as long as the request.
 */
export type VerifiedTokens = WeakMap<Auth, FollowableToken>

/** Creates the function behind `follow`, which stops when the app closes. */
export function addFollow (
  app: FastifyInstance,
  { verified, ...context }: SessionFollowersContext & { readonly verified: VerifiedTokens }
): Follow {
  const followers = new SessionFollowers(context)
  app.addHook('onClose', async () => {
    followers.close()
  })

  return request => {
    const token = verified.get(getRequiredAuth(request))

    // A hook of the app may have set `request.auth` without a token.
    if (token === undefined) {
      throw new TokenAuthError('AUTH_ACCESS_MISSING')
    }

    return followers.follow(token)
  }
}
