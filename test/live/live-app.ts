import type { Test } from 'tap'
import type { FollowedSession, TokenResponse } from '../../src/index.js'
import { createTestApp } from '../helpers/app.js'
import type { TestApp, TestAppOptions } from '../helpers/app.js'

/** App with a route `GET /follow`, which follows the session of its request. */
export interface LiveApp extends TestApp {
  /** Followed sessions of the requests `GET /follow`. */
  readonly followed: readonly FollowedSession[]
  /** Follows the session of an access token. */
  follow(tokens: Pick<TokenResponse, 'access_token'>): Promise<FollowedSession>
}

export async function startLiveApp (t: Test, options: TestAppOptions = {}): Promise<LiveApp> {
  const followed: FollowedSession[] = []
  const test = await createTestApp({
    ...options,
    after (app) {
      app.get('/follow', { onRequest: [app.authenticate] }, request => {
        followed.push(app.tokenAuth.follow(request))
        return {}
      })
      options.after?.(app)
    }
  })
  t.teardown(() => test.app.close())

  return {
    ...test,
    followed,
    async follow ({ access_token: token }) {
      const response = await test.get('/follow', token)

      if (response.statusCode !== 200) {
        throw new Error(response.body)
      }

      return followed.at(-1) as FollowedSession
    }
  }
}
