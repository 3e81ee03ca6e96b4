import type { TokenAuthOptions } from './options.js'
import { findSecretProblem } from './signing.js'
import { assert } from './validate.js'

/** Environment variables that {@link optionsFromEnv} reads. It ignores all others. */
export interface TokenAuthEnv {
  /** The option `secret`. Required. */
  readonly SECRET_KEY?: string | undefined
  /** The option `refreshToken.secret`. */
  readonly REFRESH_SECRET_KEY?: string | undefined
  /** Algorithm of the signatures. Only `HS256` is valid. */
  readonly ALGORITHM?: string | undefined
  /** The option `accessToken.lifetime`, in minutes. */
  readonly ACCESS_TOKEN_EXPIRE_MINUTES?: string | undefined
  /** The option `refreshToken.lifetime`, in days. Also sets `maxLifetime` if it is over 30. */
  readonly REFRESH_TOKEN_EXPIRE_DAYS?: string | undefined
  /** `false` sets `refreshToken: false`. */
  readonly REFRESH_TOKEN_ENABLED?: string | undefined
}

const DEFAULT_MAX_LIFETIME_DAYS = 30
const TRUE_VALUES = ['true', '1', 'yes', 'on']
const FALSE_VALUES = ['false', '0', 'no', 'off']

/**
 * Creates options from the environment variables that many login servers use.
 *
 * An empty variable counts as missing.
 *
 * @throws TypeError if a variable is missing or invalid. The message names all of them, and
 *   contains no value.
 * @example
 * ```ts
 * await app.register(tokenAuth, { ...optionsFromEnv(), store, users })
 * ```
 */
export function optionsFromEnv (
  env: TokenAuthEnv = process.env
): Pick<TokenAuthOptions, 'secret' | 'accessToken' | 'refreshToken'> {
  const { SECRET_KEY: secret, REFRESH_SECRET_KEY: refreshSecret } = env
  const minutes = readNumber(env.ACCESS_TOKEN_EXPIRE_MINUTES)
  const days = readNumber(env.REFRESH_TOKEN_EXPIRE_DAYS)
  const isEnabled = readBoolean(env.REFRESH_TOKEN_ENABLED || 'true')

  const problems = [
    findSecretProblem(secret || undefined, 'SECRET_KEY'),
    refreshSecret ? findRefreshSecretProblem(refreshSecret, secret) : null,
    env.ALGORITHM && env.ALGORITHM !== 'HS256'
      ? '"ALGORITHM" must be "HS256"; change it or remove it'
      : null,
    minutes === null ? '"ACCESS_TOKEN_EXPIRE_MINUTES" must be a positive number of minutes' : null,
    days === null ? '"REFRESH_TOKEN_EXPIRE_DAYS" must be a positive number of days' : null,
    isEnabled === null ? '"REFRESH_TOKEN_ENABLED" must be true or false' : null
  ].filter(problem => problem !== null)
  assert(problems.length === 0, problems.join('\n'))

  return {
    secret,
    ...(minutes && { accessToken: { lifetime: `${minutes}m` } }),
    refreshToken: isEnabled === true && {
      ...(days &&
        { lifetime: `${days}d`, maxLifetime: `${Math.max(days, DEFAULT_MAX_LIFETIME_DAYS)}d` }),
      ...(refreshSecret && { secret: refreshSecret })
    }
  }
}

function findRefreshSecretProblem (
  refreshSecret: string,
  secret: string | undefined
): string | null {
  return refreshSecret === secret
    ? '"REFRESH_SECRET_KEY" must differ from "SECRET_KEY"; change it or remove it'
    : findSecretProblem(refreshSecret, 'REFRESH_SECRET_KEY')
}

/** Returns `undefined` if the variable is missing, and `null` if it is not a positive number. */
function readNumber (value: string | undefined): number | null | undefined {
  if (!value) {
    return undefined
  }

  return /^\d+(\.\d+)?$/.test(value) && Number(value) > 0 ? Number(value) : null
}

/** Returns `null` if the value is neither true nor false. */
function readBoolean (value: string): boolean | null {
  const normalized = value.toLowerCase()
  return TRUE_VALUES.includes(normalized) || (FALSE_VALUES.includes(normalized) ? false : null)
}
