// Headers of replies: those that belong to an error, and lists to which the app or another plugin may have contributed already.

import type { FastifyInstance, FastifyReply } from 'fastify'
import { headersOf, TokenAuthError } from '../errors.js'
import type { Challenge } from '../errors.js'

/** Lets every {@link TokenAuthError} of the scope go out with its challenge, or with when to try again. */
export function addErrorHeaders (
  scope: FastifyInstance,
  challenge: Omit<Challenge, 'isProven'>
): void {
  // Not where the error is made: in @fastify/auth another strategy may let the request pass after all.
  scope.addHook('onError', (request, reply, error, done) => {
    if (error instanceof TokenAuthError) {
      reply.headers(
        headersOf(error, { ...challenge, isProven: request.headers.dpop !== undefined })
      )

      // For pages of other origins; whether there are any is the app's to say.
      if (error.statusCode === 401) {
        addToHeader(reply, 'access-control-expose-headers', 'www-authenticate')
      }
    }

    done()
  })
}

/** Adds a member to a header such as `Vary`, unless it is there. */
export function addToHeader (reply: FastifyReply, header: string, member: string): void {
  const there = reply.getHeader(header)
  const members = (Array.isArray(there) ? there : [there ?? []]).flat().flatMap(text =>
    String(text).split(',')
  ).map(text => text.trim())

  if (members.some(text => text.toLowerCase() === member.toLowerCase())) {
    return
  }

  reply.header(header, [...members, member].join(', '))
}
