// What a set of options risks, knowingly or not: said once in the log, when the app starts.

import type { ResolvedOptions } from './resolve.js'
import { HOUR } from '../lib/time.js'

/** */
export function securityWarnings (
  { rotation, accessLifetime, transport, dpop, publicUrl }: ResolvedOptions
): string[] {
  const risks: string[] = []

  if (!rotation && transport.kind !== 'none') {
    risks.push(
      'rotation is off: a refresh token that is stolen, from localStorage say, is good until its session ends, and nobody notices'
    )
  }

  if (accessLifetime > HOUR) {
    risks.push(
      'accessToken.lifetime is more than an hour: a stolen access token is good that long wherever a logout is not heard of'
    )
  }

  if (transport.refreshCookie?.attributes.secure === false) {
    risks.push('cookie.secure is false: whoever listens on the network can take the refresh token')
  }

  if (dpop !== null && publicUrl === undefined) {
    risks.push(
      'dpop without publicUrl believes the host of a request: a server that clients prove themselves to could pass that on to this one'
    )
  }

  return risks
}
