// Options out of the variables that many servers have in their environment already.

import { findWeakness } from '../tokens/key-derivation.js'
import type { TokenAuthOptions } from './options.js'

/** The variables that {@link optionsFromEnv} reads. Others are left alone. */
export interface TokenAuthEnv {
  /** `secret`; required. */
  readonly SECRET_KEY?: string | undefined
  /** `refreshToken.secret` */
  readonly REFRESH_SECRET_KEY?: string | undefined
  /** Only `HS256`. */
  readonly ALGORITHM?: string | undefined
  /** `accessToken.lifetime` */
  readonly ACCESS_TOKEN_EXPIRE_MINUTES?: string | undefined
  /** `refreshToken.lifetime`, and `refreshToken.maxLifetime` where it is longer than 30 days. */
  readonly REFRESH_TOKEN_EXPIRE_DAYS?: string | undefined
  /** `false` stands for `refreshToken: false`. */
  readonly REFRESH_TOKEN_ENABLED?: string | undefined
}

const DEFAULT_ABSOLUTE_DAYS = 30
const yes = ['true', '1', 'yes', 'on']
const no = ['false', '0', 'no', 'off']

/**
 * The options that these variables stand for, to be spread into those of the plugin. An empty variable is one that is not set.
 *
 * @param env `process.env`, unless told otherwise.
 * @throws TypeError that names every variable which is missing or wrong, and holds the value of none
 */
export function optionsFromEnv (
  env: TokenAuthEnv = process.env
): Pick<TokenAuthOptions, 'secret' | 'accessToken' | 'refreshToken'> {
  const problems: string[] = []

  const count = (
    name: 'ACCESS_TOKEN_EXPIRE_MINUTES' | 'REFRESH_TOKEN_EXPIRE_DAYS',
    unit: string
  ): number | undefined => {
    const text = env[name]

    if (!text) {
      return undefined
    }

    if (/^\d+(\.\d+)?$/.test(text) && Number(text) > 0) {
      return Number(text)
    }

    problems.push(`${name} must be a number of ${unit}, more than 0`)
    return undefined
  }

  const { SECRET_KEY: secret, REFRESH_SECRET_KEY: refreshSecret } = env

  const assertStrong = (name: string, value: string): void => {
    const weakness = findWeakness(value)

    if (weakness !== null) {
      problems.push(`${name} ${weakness}: set it to what \`openssl rand -base64 48\` prints`)
    }
  }

  if (!secret) {
    problems.push('SECRET_KEY is missing: set it to what `openssl rand -base64 48` prints')
  } else {
    assertStrong('SECRET_KEY', secret)
  }

  if (refreshSecret && refreshSecret === secret) {
    problems.push('REFRESH_SECRET_KEY is the same as SECRET_KEY: take it away, or make it another')
  } else if (refreshSecret) {
    assertStrong('REFRESH_SECRET_KEY', refreshSecret)
  }

  if (env.ALGORITHM && env.ALGORITHM !== 'HS256') {
    problems.push('ALGORITHM must be HS256, or not be set')
  }

  const minutes = count('ACCESS_TOKEN_EXPIRE_MINUTES', 'minutes')
  const days = count('REFRESH_TOKEN_EXPIRE_DAYS', 'days')
  const enabled = (env.REFRESH_TOKEN_ENABLED || 'true').toLowerCase()

  if (![...yes, ...no].includes(enabled)) {
    problems.push('REFRESH_TOKEN_ENABLED must be true or false')
  }

  if (problems.length > 0) {
    throw new TypeError(`fastify-token-auth: ${problems.join('; ')}`)
  }

  return {
    secret,
    ...(minutes !== undefined && { accessToken: { lifetime: `${minutes}m` } }),
    refreshToken: !no.includes(enabled) && {
      ...(days !== undefined &&
        { lifetime: `${days}d`, maxLifetime: `${Math.max(days, DEFAULT_ABSOLUTE_DAYS)}d` }),
      ...(refreshSecret && { secret: refreshSecret })
    }
  }
}
