import { createApp, createRefreshWorkload, listen } from './shared.js'
import type { ServerSettings, StartedServer } from './shared.js'

/** Starts a route with the same bodies, headers and schemas as a refresh, and without any work. */
export async function startRefreshServer (
  { tokens, exchange }: ServerSettings
): Promise<StartedServer> {
  if (exchange === undefined) {
    throw new Error('The baseline server requires an exchange')
  }

  const app = createApp()
  const body = JSON.parse(exchange.body) as Record<string, unknown>
  const schema = {
    body: {
      type: 'object',
      required: ['refresh_token'],
      properties: { refresh_token: { type: 'string' } }
    },
    response: {
      200: {
        type: 'object',
        properties: {
          access_token: { type: 'string' },
          refresh_token: { type: 'string' },
          token_type: { type: 'string' },
          expires_in: { type: 'integer' },
          user: { type: 'object', additionalProperties: true }
        }
      }
    }
  }
  app.post('/refresh', { schema }, async (_request, reply) => {
    reply.headers(exchange.headers)
    return body
  })
  const presented = Array.from({ length: tokens }, () => exchange.token)
  return { port: await listen(app), workload: createRefreshWorkload('/refresh', presented, null) }
}
