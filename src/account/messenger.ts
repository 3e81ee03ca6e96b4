import { finished } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Caller } from '../domain/session.js'
import type { Actor, Events, LinkPurpose, Logger } from '../events.js'
import { describeError } from '../lib/safe-error.js'
import { limitTime } from '../lib/time-limit.js'
import { SECOND } from '../lib/time.js'
import type { Millis } from '../lib/time.js'
import type { FoundUser } from '../sessions/user-record.js'
import type { OneTimeInput, OneTimeTokenIssuer } from './one-time-token-issuer.js'
import type { CreatedOneTimeToken } from './one-time-tokens.js'
import type { ResolvedAccount } from './options.js'

const CLOSE_TIMEOUT: Millis = 10 * SECOND

/** Purposes of messages by kind. A kind is the name of its callback and of its lifetime. */
export const MESSAGE_PURPOSES = {
  verifyEmail: 'verify-email',
  resetPassword: 'reset-password',
  signInLink: 'sign-in-link',
  signInCode: 'sign-in-code'
} as const satisfies Record<string, LinkPurpose>

/** Kind of a message. */
export type MessageKind = keyof typeof MESSAGE_PURPOSES

/** Returns the purpose of the tokens of a message. Purposes of the app have no `/`. */
export function getPurpose (kind: MessageKind): string {
  return `account/${MESSAGE_PURPOSES[kind]}`
}

/** Settings of a {@link Messenger}. */
export interface MessengerContext {
  readonly issuer: OneTimeTokenIssuer
  readonly send: ResolvedAccount['send']
  readonly lifetimes: ResolvedAccount['lifetimes']
  readonly events: Events
  readonly logger: Logger
  readonly clock: () => Millis
}

/** Message to prepare after the response. */
export interface PendingMessage {
  readonly kind: MessageKind
  readonly request: FastifyRequest
  readonly by: Caller
  /** Finds the active user whom the message is for. */
  readonly findUser: () => Promise<FoundUser | null>
  /** Returns the state of the user. After a change of it, the link is invalid. */
  readonly getState: (user: FoundUser) => string
  /** Creates the code for a user. Missing for a link. */
  readonly createCode?: (user: FoundUser | null) => {
    readonly code: string
    readonly expiresAt: Millis
  }
}

// Replaces a user who does not exist, so that both cases do the same work.
const NOBODY: Pick<OneTimeInput, 'subject' | 'state'> = { subject: 'nobody', state: '' }

/**
 * Sends links and codes after the response, so that its time does not depend on the user.
 *
 * Does the same work for an unknown address, except the callback of the app.
 */
export class Messenger {
  readonly #context: MessengerContext
  readonly #pending = new Set<Promise<void>>()

  constructor (context: MessengerContext) {
    this.#context = context
  }

  /** Sends a message as soon as the response has been sent, or its client has disconnected. */
  sendAfter (reply: FastifyReply, message: PendingMessage): void {
    finished(reply.raw, () => {
      const sending = this.#prepareAndSend(message).finally(() => {
        this.#pending.delete(sending)
      })
      this.#pending.add(sending)
    })
  }

  /** Waits for running callbacks, at most 10 s. */
  async close (): Promise<void> {
    try {
      await limitTime(
        CLOSE_TIMEOUT,
        Promise.all(this.#pending),
        () => new Error(`no response within ${CLOSE_TIMEOUT} ms`)
      )
    } catch (error) {
      const cause = describeError(error, true)
      this.#context.logger.warn({ cause }, 'closed before all messages were sent')
    }
  }

  /** Creates the token of a link for the app, and sends it. Rejects if the callback fails. */
  async sendLink (
    { kind, request, by, getState }: Omit<PendingMessage, 'findUser'>,
    user: FoundUser
  ): Promise<void> {
    await this.#deliver(kind, request, user, this.#createLink(kind, user, getState))
    this.#report(kind, user, by, 'app')
  }

  async #prepareAndSend (message: PendingMessage): Promise<void> {
    const { kind, request, by, findUser, getState, createCode } = message

    try {
      const user = await findUser()
      const secret = createCode?.(user) ?? this.#createLink(kind, user, getState)

      if (user !== null) {
        await this.#deliver(kind, request, user, secret)
        this.#report(kind, user, by, 'client')
      }
    } catch (error) {
      this.#context.logger.error(
        { message: kind, cause: describeError(error, true) },
        'failed to send a message'
      )
    }
  }

  #createLink (
    kind: MessageKind,
    user: FoundUser | null,
    getState: PendingMessage['getState']
  ): CreatedOneTimeToken {
    const { issuer, lifetimes } = this.#context
    const about = user === null ? NOBODY : { subject: user.id, state: getState(user) }
    return issuer.create({ purpose: getPurpose(kind), lifetime: lifetimes[kind], ...about })
  }

  async #deliver (
    kind: MessageKind,
    request: FastifyRequest,
    { record: user }: FoundUser,
    secret: { readonly expiresAt: Millis }
  ): Promise<void> {
    // Each kind has the callback that takes its token or its code.
    await this.#context.send[kind]?.({ user, request, ...secret } as never)
  }

  #report (kind: MessageKind, { id: userId }: FoundUser, by: Caller, actor: Actor): void {
    const { events, clock } = this.#context
    events.emit('link-sent', { at: clock(), userId, purpose: MESSAGE_PURPOSES[kind], ...by, actor })
  }
}
