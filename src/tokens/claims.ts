/** Claims of a JSON Web Token (RFC 7519, section 4), before any of them is checked. */
export type Claims = Readonly<Record<string, unknown>>

/** Restricts the tokens of a session to an OAuth client, to a key, to both or to neither. */
export interface SenderConstraint {
  /** Client ID of the OAuth client (RFC 6749, section 6). `null` for a first-party session. */
  readonly clientId: string | null
  /** Thumbprint of the client's key (RFC 7638, SHA-256). `null` for a bearer token. */
  readonly thumbprint: string | null
}

const UNCONSTRAINED: SenderConstraint = { clientId: null, thumbprint: null }

/** Whether a value is a JSON object. */
export function isRecord (value: unknown): value is Claims {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Whether a value is a NumericDate in whole seconds (RFC 7519, section 2), or a counter. */
export function isNonNegativeInteger (value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

/** Whether a value is a string of at least one character. */
export function isNonEmptyString (value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}

/** Whether a value is an array of non-empty strings. */
export function isStringArray (value: unknown): value is string[] {
  return Array.isArray(value) && value.every(isNonEmptyString)
}

/** Converts a constraint to claims. JSON drops the members that are `undefined`. */
export function toConstraintClaims (
  { clientId, thumbprint }: SenderConstraint
): Record<'client_id', string | undefined> & Record<'cnf', Claims | undefined> {
  return {
    client_id: clientId ?? undefined,
    cnf: thumbprint === null ? undefined : { jkt: thumbprint }
  }
}

/**
 * Reads the `client_id` and `cnf` claims (RFC 9449, section 6.1).
 *
 * @returns `null` if a claim has another form than {@link toConstraintClaims} creates. Reject such
 * a token. Otherwise a client could use it without the constraint.
 */
export function readConstraint ({ client_id: clientId, cnf }: Claims): SenderConstraint | null {
  if (clientId === undefined && cnf === undefined) {
    return UNCONSTRAINED
  }

  const hasThumbprint = isRecord(cnf) && isNonEmptyString(cnf.jkt) && Object.keys(cnf).length === 1

  if (
    (clientId !== undefined && !isNonEmptyString(clientId)) ||
    (cnf !== undefined && !hasThumbprint)
  ) {
    return null
  }

  return { clientId: clientId ?? null, thumbprint: hasThumbprint ? cnf.jkt as string : null }
}

/**
 * Copies claims without those that are `undefined`.
 *
 * JSON would drop them too. But signers copy the claims, and fewer claims take less time.
 */
export function omitUndefined (claims: Claims): Claims {
  const defined: Record<string, unknown> = {}

  for (const name in claims) {
    if (claims[name] !== undefined) {
      defined[name] = claims[name]
    }
  }

  return defined
}
