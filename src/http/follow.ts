import type { FollowedSession } from '../live/follower.js'
import type { SessionFollowers } from '../live/session-followers.js'
import { readAcceptedToken } from './accepted-token.js'
import type { AcceptedTokenContext } from './accepted-token.js'
import type { AuthenticatedRequest } from './authenticate.js'
import { getRequiredAuth } from './guards.js'

/** Follows the session of an authenticated request. */
export type Follow = (request: AuthenticatedRequest) => FollowedSession

/** Collaborators of `app.tokenAuth.follow`. */
export interface FollowContext extends AcceptedTokenContext {
  readonly followers: SessionFollowers
}

/** Creates `app.tokenAuth.follow`. */
export function createFollow (context: FollowContext): Follow {
  return request => {
    const { token: { generation, thumbprint } } = readAcceptedToken(request, context)
    return context.followers.follow({ auth: getRequiredAuth(request), generation, thumbprint })
  }
}
