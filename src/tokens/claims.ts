// Who alone may use the tokens of a session, as the tokens say it themselves: an OAuth client (RFC 6749 section 6), whoever holds
// a key (RFC 9449 section 6.1), both or neither. No store needs to be asked about it.

import { isNonEmptyString, isRecord } from './jwt-codec.js'
import type { Claims } from './jwt-codec.js'

export interface SenderConstraint {
  /** The OAuth client; `null` for a session of the app's own. */
  readonly clientId: string | null
  /** Of the key (RFC 7638, SHA-256); `null` where there is none. */
  readonly thumbprint: string | null
}

const unbound: SenderConstraint = { clientId: null, thumbprint: null }

/** As claims: what is undefined is left out by JSON. */
export function toConstraintClaims (
  { clientId, thumbprint }: SenderConstraint
): Record<'client_id', string | undefined> & Record<'cnf', Claims | undefined> {
  return {
    client_id: clientId ?? undefined,
    cnf: thumbprint === null ? undefined : { jkt: thumbprint }
  }
}

/** `null` where the claims say it in a way that is not ours: a binding that is not understood is none to ignore. */
export function readConstraint ({ client_id: clientId, cnf }: Claims): SenderConstraint | null {
  if (clientId === undefined && cnf === undefined) {
    return unbound
  }

  const isBound = isRecord(cnf) && isNonEmptyString(cnf.jkt) && Object.keys(cnf).length === 1

  if ((clientId !== undefined && !isNonEmptyString(clientId)) || (cnf !== undefined && !isBound)) {
    return null
  }

  return { clientId: clientId ?? null, thumbprint: isBound ? cnf.jkt as string : null }
}
