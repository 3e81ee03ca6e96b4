import type * as OtpAuth from 'otpauth'

/** Length of a new secret, as RFC 4226 recommends (section 4, R6). */
const SECRET_BYTES = 20
const MAX_CODE_LENGTH = 64

/** Duration of a time step in seconds (RFC 6238, section 4.1). */
export const TOTP_PERIOD = 30

/** Steps before and after the current one whose codes are accepted (RFC 6238, section 6). */
const WINDOW = 1

/** Parameters of the codes. The defaults are those of all authenticator apps. */
export interface TotpParameters {
  readonly algorithm?: 'SHA1' | 'SHA256' | 'SHA512'
  readonly digits?: number
}

/** Secret of a user and its URI, for a QR code. */
export interface TotpEnrollment {
  /** Secret in base32, 160 bits. */
  readonly secret: string
  /** `otpauth:` URI with the secret. Never put it into a log. */
  readonly uri: string
}

/** Time-based one-time passwords (RFC 6238), by the library `otpauth`. */
export class Totp {
  readonly #library: typeof OtpAuth
  readonly #parameters: Required<TotpParameters>

  // Private, so that the declarations of this file compile without `otpauth`.
  private constructor (library: typeof OtpAuth, parameters: Required<TotpParameters>) {
    this.#library = library
    this.#parameters = parameters
  }

  /**
   * Loads the library `otpauth`, an optional peer dependency.
   *
   * @throws Error if the package is not installed. The message contains the command to install it.
   */
  static async load ({ algorithm = 'SHA1', digits = 6 }: TotpParameters = {}): Promise<Totp> {
    try {
      return new Totp(await import('otpauth'), { algorithm, digits })
    } catch (error) {
      throw new Error(
        'fastify-token-auth: the second factor "totp" requires the package otpauth; run ' +
          '"npm install otpauth"',
        { cause: error }
      )
    }
  }

  /** Creates a random secret for an authenticator app. */
  create (label: string, issuer: string): TotpEnrollment {
    const { Secret, TOTP } = this.#library
    const secret = new Secret({ size: SECRET_BYTES })
    const totp = new TOTP({ ...this.#parameters, period: TOTP_PERIOD, secret, label, issuer })
    return { secret: secret.base32, uri: totp.toString() }
  }

  /**
   * Finds the time step of a code.
   *
   * The caller must accept each step of a user once (RFC 6238, section 5.2).
   *
   * @param secret - Secret in base32.
   * @returns `null` if the code is wrong, or its step is more than one from the current one.
   * @throws TypeError if the secret is not base32.
   */
  findStep (secret: string, code: string, now: number): number | null {
    const { Secret, TOTP } = this.#library
    // Some apps show the code in two groups.
    const token = code.length > MAX_CODE_LENGTH ? '' : code.replace(/\s/g, '')

    if (token.length !== this.#parameters.digits || !/^\d+$/.test(token)) {
      return null
    }

    const delta = TOTP.validate({
      ...this.#parameters,
      period: TOTP_PERIOD,
      secret: Secret.fromBase32(secret),
      token,
      timestamp: now,
      window: WINDOW
    })
    return delta === null ? null : Math.floor(now / 1000 / TOTP_PERIOD) + delta
  }
}
