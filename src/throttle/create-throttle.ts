import type { AttemptRule } from '../domain/attempt-rule.js'
import type { AttemptStore } from '../stores/attempt-store.js'
import type { SigningKeys } from '../tokens/key-derivation.js'
import { DeviceTokens } from './device-tokens.js'
import { Throttle } from './throttle.js'
import type { ThrottleContext } from './throttle.js'

/** Limits of login attempts. `null` for none. */
export interface ThrottleLimits {
  readonly account: AttemptRule | null
  readonly address: AttemptRule | null
}

/** Collaborators of a {@link Throttle} that its registration provides. */
export type ThrottleParts = Pick<ThrottleContext, 'attempts' | 'events' | 'logger' | 'clock'> & {
  /** Counts refresh tokens that were never issued. */
  readonly invalidTokens: AttemptStore
  /** Derives keys of the registration. */
  readonly deriveKeys: (purpose: 'attempts' | 'device') => SigningKeys
}

/** Creates the throttle of a registration. Returns `null` if logins are not throttled. */
export function createThrottle (
  limits: ThrottleLimits | null,
  { deriveKeys, ...parts }: ThrottleParts
): Throttle | null {
  if (limits === null) {
    return null
  }

  const { account, address } = limits
  const [current, ...previous] = deriveKeys('attempts')
  const keys = [current.key, ...previous.map(({ key }) => key)] as const
  const devices = new DeviceTokens(deriveKeys('device'))
  return new Throttle({ ...parts, keys, devices, account, address })
}
