// What the recipes share, so that each holds little more than its options.

import type { FastifyError, FastifyInstance, FastifyServerOptions } from 'fastify'

export interface RecipeOptions<User> {
  /** The app's users by the name that they log in with; in earnest, a table. */
  readonly users?: Map<string, User>
  readonly logger?: FastifyServerOptions['logger']
  /** Stands in for the time, in milliseconds, so that a test need not wait a day. */
  readonly clock?: () => number
}

export interface RecipeUser {
  readonly id: string
  readonly username: string
  readonly passwordHash: string
  readonly disabled?: boolean
}

export function findById<User extends { readonly id: string }> (
  users: Map<string, User>,
  id: string
): User | undefined {
  return [...users.values()].find(user => user.id === id)
}

/**
 * Errors in the shape of FastAPI, `{ detail }`. Set it before the plugin: only scopes that are made later get it.
 *
 * @param words What clients know an error by, in place of its own message.
 */
export function answerWithDetail (
  app: FastifyInstance,
  words: { readonly [code: string]: string } = {}
): void {
  app.setErrorHandler<FastifyError>((error, request, reply) => {
    const { statusCode = 500, code, message } = error

    if (statusCode === 500) {
      request.log.error(error)
    }

    return reply.code(statusCode).send({
      detail: statusCode === 500 ? 'Internal Server Error' : words[code] ?? message
    })
  })
  app.setNotFoundHandler((_request, reply) => reply.code(404).send({ detail: 'Not Found' }))
}
