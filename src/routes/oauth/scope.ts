// The routes for stock OAuth clients live in a scope of their own: forms alone, errors in the shape of RFC 6749, and a client
// that is known before anything else happens.

import type { FastifyInstance, FastifyRequest } from 'fastify'
import { TokenAuthError } from '../../errors.js'
import type { Client, Clients } from '../../service/clients.js'
import { readClient } from './client-authentication.js'
import { answerOAuthErrors } from './errors.js'

export type Form = Readonly<Record<string, string | undefined>>

export function prepareOAuthScope (scope: FastifyInstance, realm: string): void {
  scope.removeContentTypeParser('application/json')
  answerOAuthErrors(scope, realm)
}

/** The parameters of a request. An empty one is as good as absent (RFC 6749 section 3.2). */
export function formOf ({ body }: FastifyRequest): Form {
  return Object.fromEntries(Object.entries(body ?? {}).filter(([, value]) => value !== ''))
}

/** @throws TokenAuthError AUTH_CLIENT_REJECTED */
export function clientOf (request: FastifyRequest, form: Form, clients: Clients): Client {
  const credentials = readClient(request, form)
  if (credentials === null) throw new TokenAuthError('AUTH_CLIENT_REJECTED')
  return clients.authenticate(credentials)
}
