import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { getCaller } from '../../http/authorization.js'
import type { DescribeRoute } from '../../http/openapi.js'
import { acceptedContent } from '../../http/schemas.js'
import type { FoundUser } from '../../sessions/user-record.js'
import type { AccountLimits } from '../limits.js'
import type { MessageKind, Messenger, PendingMessage } from '../messenger.js'
import { accountDocs } from '../route-docs.js'
import { acceptedResponse, emailBody } from '../schemas.js'
import { getAccountState } from '../users.js'
import type { AccountDirectory } from '../users.js'
import { readString } from './body.js'

/** Collaborators of routes that send a message to an address. */
export interface AddressMessageRoutes {
  readonly users: AccountDirectory
  readonly messenger: Messenger
  readonly limits: AccountLimits
  readonly describe: DescribeRoute
}

/** Adds a route that sends a link to the user with an address. It has the same response for all. */
export function addLinkRoute (
  scope: FastifyInstance,
  url: string,
  kind: 'resetPassword' | 'signInLink',
  routes: AddressMessageRoutes
): void {
  const docs = kind === 'resetPassword' ? accountDocs.forgotPassword : accountDocs.signInLink

  scope.post<{ Body: Readonly<Record<string, unknown>> | null }>(url, {
    ...routes.describe(docs, {
      ...acceptedContent,
      body: emailBody,
      response: { 202: acceptedResponse }
    })
  }, async (request, reply) => {
    const email = readString(request.body, 'email')
    await sendToAddress({ request, reply, kind, email }, routes)
    return reply.code(202).send()
  })
}

/**
 * Sends a message to the user with an address, after the response.
 *
 * @throws TokenAuthError `AUTH_TOO_MANY_ATTEMPTS`, `AUTH_STORE_UNAVAILABLE`
 */
export async function sendToAddress (
  { request, reply, kind, email, ...code }: {
    readonly request: FastifyRequest
    readonly reply: FastifyReply
    readonly kind: MessageKind
    readonly email: string
    readonly createCode?: NonNullable<PendingMessage['createCode']>
  },
  { users, messenger, limits }: Omit<AddressMessageRoutes, 'describe'>
): Promise<void> {
  const by = getCaller(request)
  await limits.countMessage({ email }, by)
  messenger.sendAfter(reply, {
    ...code,
    kind,
    request,
    by,
    findUser: () => findRecipient(email, users, limits),
    getState: getAccountState
  })
}

/**
 * Finds the user who gets a message to an address.
 *
 * @returns `null` if no user has the address, or if the user has received too many messages,
 * perhaps at other spellings of the address.
 */
async function findRecipient (
  email: string,
  users: AccountDirectory,
  limits: AccountLimits
): Promise<FoundUser | null> {
  const user = await users.findByEmail(email)
  return await limits.allowsMessage(user?.id ?? null, email) ? user : null
}
