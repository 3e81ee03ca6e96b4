// The least that a server can do: the same route, bodies and answers, and no authentication at all.

import { createApp, listen, refreshWork } from './contestant.js'
import type { Setup, Started } from './contestant.js'

/** A route that takes and gives JSON and headers of the same sizes, with schemas as a careful author writes them. */
export async function startRefresh ({ tokens, like }: Setup): Promise<Started> {
  if (like === undefined) {
    throw new Error('A bare route needs an answer to look like')
  }

  const app = createApp()
  const answer = JSON.parse(like.answer) as Record<string, unknown>
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
    reply.headers(like.headers)
    return answer
  })

  return {
    port: await listen(app),
    work: refreshWork('/refresh', Array.from({ length: tokens }, () => like.presented), null)
  }
}
