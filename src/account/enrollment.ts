import { getCaller } from '../http/authorization.js'
import type { CallerRequest } from '../http/authorization.js'
import { assertSessionRequest } from '../http/session-arguments.js'
import { assert } from '../options/validate.js'
import { toUserId } from '../sessions/user-id.js'
import type { UserId } from '../sessions/user-id.js'
import type { RecoveryCodeHasher, RecoveryCodes } from './recovery-codes.js'
import type { SecondFactors } from './second-factors.js'
import { Totp } from './totp.js'
import type { TotpEnrollment } from './totp.js'
import type { AccountDirectory } from './users.js'

/** Methods of `app.accountFlows` that turn a second factor on. The app saves the results. */
export interface Enrollment {
  /**
   * Creates a TOTP secret, and the URI that a QR code shows.
   *
   * Save the secret, encrypted, after `confirmTotp` has accepted a code of it.
   *
   * @param names.label - Name of the account in the authenticator app, usually the address.
   * @param names.issuer - Name of your service in the authenticator app.
   * @throws TypeError if a name is empty.
   * @throws Error if the package `otpauth` is not installed.
   * @example
   * ```ts
   * const { secret, uri } = await app.accountFlows.createTotp({
   *   label: user.email,
   *   issuer: 'Example'
   * })
   * ```
   */
  createTotp(
    names: { readonly label: string, readonly issuer: string }
  ): Promise<TotpEnrollment>
  /**
   * Verifies the first code of a new TOTP secret, which proves that the user has saved it.
   *
   * The code cannot be used again, not even for a login. Wrong codes are limited like those of a
   * login.
   *
   * @param totp - `secret` of `createTotp`, which the app has kept for this user, and a code of it.
   * @returns Whether the code is right.
   * @throws TokenAuthError `AUTH_TOO_MANY_ATTEMPTS`, `AUTH_STORE_UNAVAILABLE`
   * @throws TypeError if `users.findTotpSecret` is missing, or the secret is not base32.
   * @throws Error if the user is unknown or disabled.
   * @example
   * ```ts
   * if (await app.accountFlows.confirmTotp(userId, { secret, code }, request)) {
   *   await saveTotpSecret(userId, encrypt(secret))
   * }
   * ```
   */
  confirmTotp(
    userId: UserId,
    totp: { readonly secret: string, readonly code: string },
    request: CallerRequest
  ): Promise<boolean>
  /**
   * Creates ten recovery codes. Each is valid once.
   *
   * Show the codes once. Save the hashes, and delete earlier ones. The hashes are bound to the user
   * and to `secret`. If you change the secret, keep the old one in its list.
   *
   * @example
   * ```ts
   * const { codes, hashes } = app.accountFlows.createRecoveryCodes(userId)
   * await replaceRecoveryCodes(userId, hashes)
   * ```
   */
  createRecoveryCodes(userId: UserId): RecoveryCodes
}

/** Creates the methods that turn a second factor on. */
export function createEnrollment (
  { users, secondFactors, recovery }: {
    readonly users: AccountDirectory
    /** `null` if the app has no second factors. */
    readonly secondFactors: SecondFactors | null
    readonly recovery: RecoveryCodeHasher
  }
): Enrollment {
  return {
    async createTotp ({ label, issuer }) {
      assert(isText(label) && isText(issuer), 'createTotp requires a "label" and an "issuer"')
      return (await Totp.load()).create(label, issuer)
    },
    async confirmTotp (userId, { secret, code }, request) {
      const id = toUserId(userId, 'confirmTotp')
      assertSessionRequest(request, 'confirmTotp')
      assert(
        secondFactors?.hasTotp === true,
        'confirmTotp requires "users.secondFactors" and "users.findTotpSecret" of accountFlows'
      )
      assert(isText(secret) && typeof code === 'string', 'confirmTotp requires a secret and a code')
      const user = await users.findById(id)

      if (user === null) {
        throw new Error('fastify-token-auth: the user of confirmTotp is unknown or disabled')
      }

      return secondFactors.confirmTotp(user, secret, code, getCaller(request))
    },
    createRecoveryCodes: userId => recovery.create(toUserId(userId, 'createRecoveryCodes'))
  }
}

function isText (value: unknown): boolean {
  return typeof value === 'string' && value !== ''
}
