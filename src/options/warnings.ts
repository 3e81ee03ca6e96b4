import { HOUR } from '../lib/time.js'
import type { ResolvedOptions } from './resolve.js'

type Options = Pick<
  ResolvedOptions,
  'rotation' | 'accessLifetime' | 'transport' | 'dpop' | 'publicUrl'
>

/** Log line for DPoP without `publicUrl`. The issuer and the verifier share it. */
export const dpopUrlWarning =
  '"dpop" is set without "publicUrl": another server that receives DPoP proofs ' +
  'can replay them here with a "Host" header of its choice'

/** Returns a log line for each option that weakens security, for the log at startup. */
export function getSecurityWarnings (
  { rotation, accessLifetime, transport, dpop, publicUrl }: Options
): string[] {
  const warnings: string[] = []

  if (!rotation && transport.kind !== 'none') {
    warnings.push(
      '"rotation" is false: a stolen refresh token stays valid and unnoticed ' +
        'until its session expires'
    )
  }

  if (accessLifetime > HOUR) {
    warnings.push(
      '"accessToken.lifetime" is more than 1h: a stolen access token stays valid that long for ' +
        'services that do not see a logout'
    )
  }

  if (transport.refreshCookie?.secure === false) {
    warnings.push(
      '"cookie.secure" is false: an attacker on the network can read the refresh token'
    )
  }

  if (dpop !== null && publicUrl === undefined) {
    warnings.push(dpopUrlWarning)
  }

  return warnings
}
