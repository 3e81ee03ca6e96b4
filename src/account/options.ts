import type { FastifyRequest } from 'fastify'
import type { Duration } from '../lib/duration.js'
import { DAY, HOUR, MINUTE } from '../lib/time.js'
import type { Millis } from '../lib/time.js'
import { addressLimitShape } from '../options/throttle.js'
import {
  assert,
  boolean,
  duration,
  group,
  integer,
  rejectUnknownKeys,
  resolveShape,
  unlessFalse
} from '../options/validate.js'
import type { Check, Resolved, Shape } from '../options/validate.js'
import { accountPaths } from '../protocol.js'
import type { AccountRouteName } from '../protocol.js'
import type { AuthUser, Awaitable } from '../sessions/user-callbacks.js'
import type { AccountUsers } from './users.js'

interface Message<User extends AuthUser> {
  /** User whom the message is for, as your callback returned it. */
  readonly user: User
  /** Moment when the link or code expires. */
  readonly expiresAt: Millis
  /**
   * Request that caused the message. Its response has been sent already, except for
   * `app.accountFlows.sendVerification`.
   */
  readonly request: FastifyRequest
}

/** Argument of a callback that sends a link. */
export interface LinkMessage<User extends AuthUser = AuthUser> extends Message<User> {
  /**
   * One-time token. Put it into the fragment of a link to a page of yours, which posts it.
   *
   * Browsers do not send the fragment to a server, so no log contains the token.
   */
  readonly token: string
}

/** Argument of a callback that sends a code. */
export interface CodeMessage<User extends AuthUser = AuthUser> extends Message<User> {
  /** Digits that the user types in. */
  readonly code: string
}

/**
 * Callbacks that send messages. Without a callback, its routes do not exist.
 *
 * The plugin calls them after the response, so that its time does not show whether an account
 * exists. It logs the error of a callback that throws or rejects. Keep a callback short, such as
 * one that adds to a queue. `app.accountFlows.sendVerification` waits for its callback, and rejects
 * if it fails.
 *
 * @example
 * ```ts
 * send: {
 *   resetPassword: ({ user, token }) => mailer.sendMail({
 *     to: user.email,
 *     subject: 'Set a new password',
 *     text: `https://app.example.org/reset#${token}`
 *   })
 * }
 * ```
 */
export interface SendCallbacks<User extends AuthUser = AuthUser> {
  /** Sends the link that proves the address of the user. */
  verifyEmail?(message: LinkMessage<User>): Awaitable<unknown>
  /** Sends the link to set a new password. */
  resetPassword?(message: LinkMessage<User>): Awaitable<unknown>
  /** Sends the link that signs the user in. */
  signInLink?(message: LinkMessage<User>): Awaitable<unknown>
  /** Sends the code that signs the user in. */
  signInCode?(message: CodeMessage<User>): Awaitable<unknown>
}

/** Lifetimes of links and codes. Each from 1 minute to 30 days. */
export interface LifetimeOptions {
  /**
   * Lifetime of a link that verifies an address.
   *
   * @default '1d'
   */
  readonly verifyEmail?: Duration
  /**
   * Lifetime of a link to set a new password.
   *
   * @default '1h'
   */
  readonly resetPassword?: Duration
  /**
   * Lifetime of a link that signs the user in.
   *
   * @default '15m'
   */
  readonly signInLink?: Duration
  /**
   * Lifetime of a code that signs the user in.
   *
   * @default '10m'
   */
  readonly signInCode?: Duration
}

/** Limit for the messages of one account or address. */
export interface MessageLimitOptions {
  /**
   * Number of messages in `window` after which no message is sent.
   *
   * A lower number can stop users who share an address, such as an office. A higher one lets an
   * attacker send more messages to a mailbox.
   *
   * @default 10 per account, 100 per address
   */
  readonly maxAttempts?: number
  /**
   * Time window that messages are counted in. From 1 s to 365 days.
   *
   * After too many messages, the user has to wait until the window ends.
   *
   * @default '1h'
   */
  readonly window?: Duration
}

/** Limits for messages, so that nobody can flood a mailbox. */
export interface SendLimitOptions {
  /**
   * Limit per account, counted for addresses without an account too. `false` disables it.
   *
   * @default { maxAttempts: 10, window: '1h' }
   * @example
   * ```ts
   * sendLimits: { account: { maxAttempts: 3, window: '15m' } }
   * ```
   */
  readonly account?: MessageLimitOptions | false
  /**
   * Limit per IPv4 address or IPv6 /64. `false` disables it.
   *
   * @default { maxAttempts: 100, window: '1h' }
   * @example
   * ```ts
   * sendLimits: { address: { maxAttempts: 500, window: '1h' } }
   * ```
   */
  readonly address?: MessageLimitOptions | false
}

/** Options of the second factor of `accountFlows`. */
export interface SecondFactorOptions {
  /**
   * Whether a login needs no second factor on a device on which the user has passed it before.
   *
   * The device token identifies the device until the password changes. With `true`, an attacker who
   * has stolen that token and the password needs no second factor.
   *
   * @default false
   */
  readonly skipKnownDevices?: boolean
  /**
   * Time in which the second factor must follow the first one. From 1 minute to 1 hour.
   *
   * @default '5m'
   */
  readonly lifetime?: Duration
}

/**
 * Options of `accountFlows`.
 *
 * An invalid or unknown option throws a `TypeError` at startup.
 */
export interface AccountOptions<User extends AuthUser = AuthUser, Id = string> {
  /**
   * Callbacks that find and change users.
   *
   * @example
   * ```ts
   * users: { findByEmail, savePasswordHash }
   * ```
   */
  readonly users: AccountUsers<User, Id>
  /**
   * Callbacks that send links and codes.
   *
   * @default {}
   * @example
   * ```ts
   * send: { resetPassword: ({ user, token }) => mailQueue.add({ to: user.email, token }) }
   * ```
   */
  readonly send?: SendCallbacks<User>
  /**
   * Path of each route below `prefix` of `tokenAuth`, or `false` to disable the route.
   *
   * @default { emailVerification: '/email/verification', verifyEmail: '/email/verify',
   *   forgotPassword: '/password/forgot', resetPassword: '/password/reset',
   *   changePassword: '/password/change', signInLink: '/sign-in/link', signInCode: '/sign-in/code',
   *   redeemSignIn: '/sign-in/redeem', secondFactor: '/login/second' }
   * @example
   * ```ts
   * routes: { changePassword: false }
   * ```
   */
  readonly routes?: { readonly [Name in AccountRouteName]?: string | false }
  /**
   * Lifetimes of links and codes.
   *
   * @default { verifyEmail: '1d', resetPassword: '1h', signInLink: '15m', signInCode: '10m' }
   * @example
   * ```ts
   * lifetimes: { resetPassword: '30m' }
   * ```
   */
  readonly lifetimes?: LifetimeOptions
  /**
   * Number of digits of a code, from 6 to 8. A code accepts 5 guesses.
   *
   * @default 6
   */
  readonly codeLength?: number
  /**
   * Limits for messages.
   *
   * @default 10 messages per account and 100 per address in an hour
   * @example
   * ```ts
   * sendLimits: { account: { maxAttempts: 3, window: '15m' } }
   * ```
   */
  readonly sendLimits?: SendLimitOptions
  /**
   * Options of the second factor.
   *
   * @default { skipKnownDevices: false, lifetime: '5m' }
   * @example
   * ```ts
   * secondFactor: { skipKnownDevices: true }
   * ```
   */
  readonly secondFactor?: SecondFactorOptions
}

/** Paths of the routes that exist. */
export type AccountPaths = Readonly<Record<AccountRouteName, string | false>>

const lifetime = (fallback: string) => duration({ min: MINUTE, max: 30 * DAY, fallback })

const lifetimeShape = {
  verifyEmail: lifetime('1d'),
  resetPassword: lifetime('1h'),
  signInLink: lifetime('15m'),
  signInCode: lifetime('10m')
} satisfies Shape<LifetimeOptions>

const sendLimitShape = {
  account: sendLimit({ maxAttempts: 10, window: '1h' }),
  address: sendLimit({ maxAttempts: 100, window: '1h' })
} satisfies Shape<SendLimitOptions>

const checkUsers = callbacks<AccountUsers>({
  findByEmail: true,
  markEmailVerified: true,
  savePasswordHash: true,
  secondFactors: true,
  findTotpSecret: true,
  useRecoveryCode: true
})

const secondFactorShape = {
  skipKnownDevices: boolean(false),
  lifetime: duration({ min: MINUTE, max: HOUR, fallback: '5m' })
} satisfies Shape<SecondFactorOptions>

const checkSend = callbacks<SendCallbacks>({
  verifyEmail: true,
  resetPassword: true,
  signInLink: true,
  signInCode: true
})

/** Checks of {@link AccountOptions}. */
export const accountShape = {
  users: checkUsers,
  send: (value = {}, path, isSet): SendCallbacks => checkSend(value, path, isSet),
  routes: resolveRoutes,
  lifetimes: group(lifetimeShape),
  codeLength: integer({ min: 6, max: 8, fallback: 6 }),
  sendLimits: group(sendLimitShape),
  secondFactor: group(secondFactorShape)
} satisfies Shape<AccountOptions>

/** Checked options with defaults. */
export type ResolvedAccount = Resolved<typeof accountShape> & { readonly paths: AccountPaths }

/**
 * Checks the options and finds out which routes exist.
 *
 * @throws TypeError if an option is invalid or unknown, or contradicts another one.
 */
export function resolveAccount (given: AccountOptions): ResolvedAccount {
  const options = resolveShape(accountShape, given)
  const { users, send, routes } = options
  assertRequired(options)

  const isEnabled: Readonly<Record<AccountRouteName, boolean>> = {
    emailVerification: send.verifyEmail !== undefined,
    verifyEmail: send.verifyEmail !== undefined,
    forgotPassword: send.resetPassword !== undefined,
    resetPassword: send.resetPassword !== undefined,
    changePassword: users.savePasswordHash !== undefined,
    signInLink: send.signInLink !== undefined,
    signInCode: send.signInCode !== undefined,
    redeemSignIn: send.signInLink !== undefined || send.signInCode !== undefined,
    secondFactor: users.secondFactors !== undefined
  }
  const entries = Object.entries({ ...accountPaths, ...routes }).map((
    [name, path]
  ) => [name, isEnabled[name as AccountRouteName] && path])
  const paths = Object.fromEntries(entries) as AccountPaths
  assert(
    Object.values(paths).some(path => path !== false),
    'accountFlows has no route; set a callback of "send", such as "send.resetPassword"'
  )
  return { ...options, paths }
}

function assertRequired ({ users, send }: Resolved<typeof accountShape>): void {
  const required: ReadonlyArray<readonly [keyof SendCallbacks, keyof AccountUsers]> = [
    ['verifyEmail', 'markEmailVerified'],
    ['resetPassword', 'findByEmail'],
    ['resetPassword', 'savePasswordHash'],
    ['signInLink', 'findByEmail'],
    ['signInCode', 'findByEmail']
  ]

  for (const [message, callback] of required) {
    assert(
      send[message] === undefined || users[callback] !== undefined,
      `"send.${message}" requires "users.${callback}"; add the callback, or remove ` +
        `"send.${message}"`
    )
  }

  const verifies = users.findTotpSecret !== undefined || users.useRecoveryCode !== undefined
  assert(
    verifies === (users.secondFactors !== undefined),
    '"users.secondFactors" requires "users.findTotpSecret", "users.useRecoveryCode" or both, and ' +
      'they require "users.secondFactors"'
  )
}

function callbacks<Group> (names: Readonly<Record<keyof Group, true>>): Check<Group> {
  return (value, path) => {
    rejectUnknownKeys(value, names, path)

    for (const [name, callback] of Object.entries(value)) {
      assert(
        callback === undefined || typeof callback === 'function',
        `"${path}.${name}" must be a function`
      )
    }

    // The plugin calls them as methods of this object, because it may be an instance of a class.
    return value as Group
  }
}

function sendLimit (fallback: Required<MessageLimitOptions>) {
  return unlessFalse((value: unknown = {}, path: string, _isSet: boolean) => {
    rejectUnknownKeys(value, addressLimitShape, path)
    return resolveShape(addressLimitShape, { ...fallback, ...value }, path)
  })
}

function resolveRoutes (
  value: unknown = {},
  path: string
): NonNullable<AccountOptions['routes']> {
  rejectUnknownKeys(value, accountPaths, path)

  for (const [name, route] of Object.entries(value)) {
    assert(
      route === false || (typeof route === 'string' && route.startsWith('/')),
      `"${path}.${name}" must be a path that begins with "/", or false`
    )
  }

  return value as NonNullable<AccountOptions['routes']>
}

/**
 * Infers the types of your user and of its ID for the callbacks. Returns its argument.
 *
 * Write `users` before `send`, and annotate IDs that are not strings. TypeScript infers the types
 * in this order.
 *
 * @example
 * ```ts
 * const options = defineAccountFlows({
 *   users: {
 *     findByEmail: email => db.user.findFirst({ where: { email } }),
 *     savePasswordHash: (id: number, hash, replaced) => saveHash(id, hash, replaced)
 *   },
 *   send: { resetPassword: ({ user, token }) => sendMail(user.address, token) }
 * })
 * await app.register(accountFlows, options)
 * ```
 */
export function defineAccountFlows<User extends AuthUser, Id = string> (
  options: AccountOptions<User, Id>
): AccountOptions {
  // The compiler has matched the callbacks with each other. `findById` matched the IDs before.
  return options as unknown as AccountOptions
}
