import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { createEnrollment } from './enrollment.js'
import type { Enrollment } from './enrollment.js'
import { findRegistration } from '../http/registration.js'
import type { Registration, RegistrationParts } from '../http/registration.js'
import { prepareScope } from '../http/scope.js'
import { assert } from '../options/validate.js'
import { toUserId } from '../sessions/user-id.js'
import type { UserId } from '../sessions/user-id.js'
import { AccountLimits } from './limits.js'
import { Messenger } from './messenger.js'
import { NewPasswords } from './new-passwords.js'
import { OneTimeTokenIssuer } from './one-time-token-issuer.js'
import { resolveAccount } from './options.js'
import type { AccountOptions, ResolvedAccount } from './options.js'
import { assertShared } from './own-tokens.js'
import { addEmailRoutes, sendVerification } from './routes/email.js'
import { addPasswordRoutes } from './routes/password.js'
import { addSecondFactorRoute } from './routes/second-factor.js'
import { addSignInRoutes } from './routes/sign-in.js'
import { RecoveryCodeHasher } from './recovery-codes.js'
import { SecondFactors } from './second-factors.js'
import { SignIn } from './sign-in.js'
import { SingleUse } from './single-use.js'
import { Totp } from './totp.js'
import { AccountDirectory } from './users.js'

const DECORATOR = 'accountFlows'

/** Methods of `app.accountFlows` for the app's own code. */
export interface AccountFlows extends Enrollment {
  /**
   * Sends the link that verifies the address of a user, for example after a sign-up.
   *
   * Counts as a message for `sendLimits`.
   *
   * @param request - Request that `send.verifyEmail` gets.
   * @throws TokenAuthError `AUTH_TOO_MANY_ATTEMPTS`, `AUTH_STORE_UNAVAILABLE`
   * @throws TypeError if `send.verifyEmail` is missing.
   * @throws Error if the user is unknown, disabled or has no `email`, or if the callback fails.
   * @example
   * ```ts
   * const user = await createUser(request.body)
   * await app.accountFlows.sendVerification(user.id, request)
   * ```
   */
  sendVerification(userId: UserId, request: FastifyRequest): Promise<void>
}

declare module 'fastify' {
  interface FastifyInstance {
    /** Methods that `accountFlows` adds. */
    accountFlows: AccountFlows
  }
}

async function plugin (app: FastifyInstance, given: AccountOptions): Promise<void> {
  const options = resolveAccount(given)
  const registration = findRegistration(app)
  const parts = registration?.getParts?.() ?? null

  if (registration === null || parts === null) {
    throw new Error(
      'fastify-token-auth: accountFlows requires tokenAuth in the same scope or a parent; ' +
        'register it before: await app.register(tokenAuth, options)'
    )
  }

  // Two scopes of one registration would not know each other's second factors.
  assert(
    !app.hasDecorator(DECORATOR) && !parts.extensions.has(DECORATOR),
    'accountFlows is registered already, in this scope or another one; register it once for each ' +
      'registration of tokenAuth'
  )
  parts.extensions.add(DECORATOR)

  const sends = Object.values(options.send).some(callback => callback !== undefined)

  if (sends || options.users.secondFactors !== undefined) {
    assertShared(parts.sharesAttempts, 'accountFlows')
  }

  await addFlows(app, options, registration, parts)
}

async function addFlows (
  app: FastifyInstance,
  options: ResolvedAccount,
  { name: realm, clock }: Registration,
  parts: RegistrationParts
): Promise<void> {
  const { attempts, deriveKeys, events } = parts
  const { lifetimes, codeLength, sendLimits, paths } = options
  const keys = deriveKeys('attempts')
  const users = new AccountDirectory(options.users, parts.users)
  const context = { realm, attempts, clock, deriveKeys }
  const issuer = new OneTimeTokenIssuer(context)
  const singleUse = new SingleUse(context)
  const limits = new AccountLimits({
    attempts,
    keys,
    sendLimits,
    throttle: parts.options.throttle,
    clock
  })
  const messenger = new Messenger({ ...options, issuer, events, logger: app.log, clock })
  const shared = { ...parts, issuer, singleUse, users, limits, messenger, clock }
  const recovery = new RecoveryCodeHasher(deriveKeys('recovery'))
  const secondFactors = options.users.secondFactors === undefined
    ? null
    : new SecondFactors({
      ...shared,
      ...options.secondFactor,
      recovery,
      totp: options.users.findTotpSecret === undefined ? null : await Totp.load()
    })

  if (secondFactors !== null) {
    parts.login.requireSecondFactor(secondFactors)
  }

  const signIn = new SignIn({
    ...shared,
    secondFactors,
    profiles: parts.users,
    keys,
    codeLength,
    lifetime: lifetimes.signInCode
  })
  const newPasswords = new NewPasswords(shared)

  await app.register(async scope => {
    prepareScope(scope, parts.options.transport.refreshCookie !== null, parts.arrivals)
    addEmailRoutes(scope, paths, shared)
    addPasswordRoutes(scope, paths, { ...shared, newPasswords })
    addSignInRoutes(scope, paths, { ...shared, signIn })

    if (secondFactors !== null && paths.secondFactor !== false) {
      addSecondFactorRoute(scope, paths.secondFactor, {
        ...shared,
        profiles: parts.users,
        secondFactors
      })
    }
  }, { prefix: parts.options.prefix })

  app.decorate<AccountFlows>(DECORATOR, {
    async sendVerification (userId, request) {
      assert(
        options.send.verifyEmail !== undefined,
        'sendVerification requires "send.verifyEmail" of accountFlows'
      )
      await parts.arrivals.waitForTime(request)
      await sendVerification(toUserId(userId, 'sendVerification'), request, shared)
    },
    ...createEnrollment({ users, secondFactors, recovery })
  })
  app.addHook('onClose', () => messenger.close())
}

/**
 * Fastify plugin that adds routes for verified addresses, forgotten passwords, and sign-in by links
 * and codes.
 *
 * Register it after `tokenAuth`, in the same scope or a child. The app keeps the table of users and
 * sends the mails. A route does not exist if its callback is missing.
 *
 * @see AccountOptions
 *
 * @example
 * ```ts
 * import { accountFlows } from 'fastify-token-auth/account'
 *
 * await app.register(tokenAuth, { secret, store, users, throttle: { attempts } })
 * await app.register(accountFlows, {
 *   users: { findByEmail, markEmailVerified, savePasswordHash },
 *   send: { verifyEmail, resetPassword, signInLink, signInCode }
 * })
 * ```
 */
export const accountFlows = fp(plugin, { name: 'fastify-token-auth/account', fastify: '5.x' })
