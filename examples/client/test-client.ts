import { createAuthClient } from 'fastify-token-auth/client'
import type { AuthClient } from 'fastify-token-auth/client'

/**
 * Creates a client for tests of components, without a server.
 *
 * Each login signs in this user. Call `dispose` after the test.
 *
 * @param user - The user who is signed in; `null` for a signed-out client.
 * @param respond - Responds to the requests of the app.
 * @example
 * ```ts
 * const auth = await createTestClient({ id: '1', username: 'ann' }, () => Response.json([]))
 * ```
 */
export async function createTestClient<User extends object> (
  user: User | null,
  respond = (_request: Request): Response => new Response(null, { status: 404 })
): Promise<AuthClient<User>> {
  const baseUrl = 'http://localhost'
  const client = createAuthClient<User>({
    baseUrl,
    storage: 'memory',
    async fetch (input, init) {
      const request = new Request(input, init)

      if (request.url === `${baseUrl}/auth/logout`) {
        return new Response(null, { status: 204 })
      }

      return request.url === `${baseUrl}/auth/login`
        ? Response.json({
          access_token: 'test',
          token_type: 'Bearer',
          expires_in: 86_400,
          refresh_token: 'test',
          user
        })
        : respond(request)
    }
  })
  await client.ready

  if (user !== null) {
    await client.login({ username: 'test', password: 'test' })
  }

  return client
}
