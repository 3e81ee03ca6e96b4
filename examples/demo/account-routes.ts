import type { FastifyInstance } from 'fastify'
import { authenticate, getAuth, requireFresh } from 'fastify-token-auth'
import { accountFlows, defineAccountFlows } from 'fastify-token-auth/account'
import type { Mailer } from '../shared/mailer.js'
import type { Accounts } from './accounts.js'
import type { SecretBox } from './secret-box.js'
import type { DemoUser, UserTable } from './users.js'

/** Collaborators of the account routes. */
export interface AccountRoutes {
  readonly users: UserTable
  readonly accounts: Accounts
  readonly mailer: Mailer
  readonly secrets: SecretBox
  /** Origin of the page, for links in mails. */
  readonly origin: string
  /** Maximum age of the login before a sensitive action, such as `1m`. */
  readonly recentLogin: string
}

/** Adds the account flows, and the routes that the app itself has to write. */
export async function addAccountFlows (app: FastifyInstance, parts: AccountRoutes): Promise<void> {
  const { users, accounts, mailer, secrets, origin } = parts

  const sendLink = ({ email }: DemoUser, subject: string, action: string, token: string) =>
    mailer.send(
      String(email),
      subject,
      // Browsers do not send the fragment to a server, so no log contains the token.
      `Open this page and press the button there:\n\n${origin}/account#${action}=${token}`
    )

  await app.register(
    accountFlows,
    defineAccountFlows({
      users: {
        findByEmail: email => users.findByEmail(email),
        markEmailVerified: (id, email) => {
          accounts.markEmailVerified(id, email)
        },
        savePasswordHash: (id, hash, replaced) => accounts.savePasswordHash(id, hash, replaced),
        secondFactors: ({ totpSecret }) => totpSecret === null ? [] : ['totp', 'recovery'],
        findTotpSecret (id) {
          const sealed = users.findById(id)?.totpSecret
          return sealed ? secrets.decrypt(id, sealed) : null
        },
        useRecoveryCode: (id, hashes) => accounts.useRecoveryCode(id, hashes)
      },
      send: {
        verifyEmail: ({ user, token }) => sendLink(user, 'Verify your address', 'verify', token),
        resetPassword: ({ user, token }) => sendLink(user, 'Set a new password', 'reset', token),
        signInLink: ({ user, token }) => sendLink(user, 'Sign in', 'sign-in', token),
        signInCode: ({ user, code }) =>
          mailer.send(
            String(user.email),
            'Your code',
            `Your code is ${code}\n\nEnter it on the page where you asked for it.`
          )
      }
    })
  )

  addSignUp(app, parts)
  addTotpRoutes(app, parts)
  addMailRoute(app, parts)
  app.delete('/account', { onRequest: guardSensitive(parts) }, async (request, reply) => {
    const { userId } = getAuth(request)
    accounts.delete(userId)
    await app.tokenAuth.revokeUser(userId)
    return reply.code(204).send()
  })
}

// The response does not show whether the address has an account, so the owner gets a mail.
function addSignUp (app: FastifyInstance, { accounts, mailer, origin }: AccountRoutes): void {
  const body = {
    type: 'object',
    required: ['email', 'password'],
    properties: {
      email: { type: 'string', pattern: '^[^@\\s]+@[^@\\s]+$', maxLength: 254 },
      password: { type: 'string', minLength: 8, maxLength: 1024 }
    }
  }

  app.post<{ Body: { email: string, password: string } }>('/sign-up', {
    schema: { body }
  }, async (request, reply) => {
    const { email, password } = request.body
    const user = accounts.add(email, await app.tokenAuth.hashPassword(password))
    const sending = user === null
      ? mailer.send(email, 'You have an account', `Sign in at ${origin}/account`)
      : app.accountFlows.sendVerification(user.id, request)
    sending.catch(error => request.log.error(error, 'failed to send a mail'))
    return reply.code(202).send()
  })
}

// Two-step sign-in. A stolen access token alone neither turns it on nor off.
function addTotpRoutes (app: FastifyInstance, parts: AccountRoutes): void {
  const { users, accounts, secrets } = parts
  const onRequest = guardSensitive(parts)

  app.post('/totp', { onRequest }, async (request, reply) => {
    const { userId } = getAuth(request)
    const { secret, uri } = await app.accountFlows.createTotp({
      label: users.findById(userId)?.username ?? userId,
      issuer: 'Token auth demo'
    })
    accounts.savePendingSecret(userId, secrets.encrypt(userId, secret))
    reply.header('cache-control', 'no-store')
    return { secret, uri }
  })

  app.post<{ Body: { code: string } }>('/totp/confirm', {
    onRequest,
    schema: {
      body: {
        type: 'object',
        required: ['code'],
        properties: { code: { type: 'string', maxLength: 64 } }
      }
    }
  }, async (request, reply) => {
    const { userId } = getAuth(request)
    const sealed = accounts.findPendingSecret(userId)
    const isRight = sealed !== null && await app.accountFlows.confirmTotp(userId, {
      secret: secrets.decrypt(userId, sealed),
      code: request.body.code
    }, request)

    if (!isRight) {
      return reply.code(400).send({ message: 'The code is wrong. Enter the current one.' })
    }

    const { codes, hashes } = app.accountFlows.createRecoveryCodes(userId)
    accounts.turnOnTotp(userId, sealed, hashes)
    reply.header('cache-control', 'no-store')
    return { codes }
  })

  app.post('/recovery-codes', { onRequest }, async (request, reply) => {
    const { userId } = getAuth(request)
    const { codes, hashes } = app.accountFlows.createRecoveryCodes(userId)
    accounts.replaceRecoveryCodes(userId, hashes)
    reply.header('cache-control', 'no-store')
    return { codes }
  })

  app.delete('/totp', { onRequest }, async (request, reply) => {
    accounts.turnOffTotp(getAuth(request).userId)
    return reply.code(204).send()
  })
}

// Shows the mails to everybody, which is for a demo only.
function addMailRoute (app: FastifyInstance, { mailer }: AccountRoutes): void {
  app.get(
    '/mails.json',
    (_request, reply) => reply.header('cache-control', 'no-store').send({ mails: mailer.collected })
  )
}

// The user must have entered the password a short time ago. A link by mail is not enough.
function guardSensitive ({ recentLogin }: AccountRoutes) {
  return [authenticate, requireFresh(recentLogin, { amr: ['pwd'] })]
}
