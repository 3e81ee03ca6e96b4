const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

const P256_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n

/** Returns the other valid form of an ES256 signature: `n - s` instead of `s`. */
export function replaceS (signature: Buffer): Buffer {
  const s = P256_ORDER - BigInt(`0x${signature.toString('hex', 32)}`)

  return Buffer.concat([
    signature.subarray(0, 32),
    Buffer.from(s.toString(16).padStart(64, '0'), 'hex')
  ])
}

/** Returns the form of an ES256 signature that this package creates: the one with the lower `s`. */
export function toLowS (signature: Buffer): Buffer {
  const other = replaceS(signature)
  return Buffer.compare(other.subarray(32), signature.subarray(32)) < 0 ? other : signature
}

/**
 * Creates variants of a token that a lenient library might accept.
 *
 * @returns Invalid tokens by the name of the change.
 */
export function createTokenVariants (token: string): Record<string, string> {
  const [head = '', payload = '', text = ''] = token.split('.')
  const bytes = Buffer.from(text, 'base64url')
  const texts: Record<string, string> = {
    'four parts': `${token}.${text}`,
    'an empty fourth part': `${token}.`,
    'no signature': `${head}.${payload}.`,
    'two parts': `${head}.${payload}`
  }

  for (const extra of [' ', '\n', '\r\n', '\t', '\0', '=', '==', '+', '/', '%00', 'é']) {
    const name = JSON.stringify(extra)
    texts[`${name} before`] = extra + token
    texts[`${name} behind`] = token + extra
    texts[`${name} before the signature`] = `${head}.${payload}.${extra}${text}`
    texts[`${name} in the signature`] = `${head}.${payload}.${text.slice(0, 9)}${extra}${
      text.slice(9)
    }`
    texts[`${name} in the payload`] = `${head}.${payload}${extra}.${text}`
    texts[`${name} in the header`] = `${head}${extra}.${payload}.${text}`
  }

  for (const last of alphabet) {
    const spelling = text.slice(0, -1) + last

    if (spelling !== text && Buffer.from(spelling, 'base64url').equals(bytes)) {
      texts[`unused bits, ${last}`] = `${head}.${payload}.${spelling}`
    }
  }

  const signatures = {
    'a byte more': Buffer.concat([bytes, Buffer.alloc(1)]),
    'a zero before': Buffer.concat([Buffer.alloc(1), bytes]),
    'a byte less': bytes.subarray(0, -1),
    'half of it': bytes.subarray(0, bytes.length / 2),
    zeros: Buffer.alloc(bytes.length),
    'another bit': Buffer.from(bytes.map((byte, i) => i === 5 ? byte ^ 1 : byte))
  }

  for (const [name, bytes] of Object.entries(signatures)) {
    texts[name] = `${head}.${payload}.${bytes.toString('base64url')}`
  }

  if (JSON.parse(Buffer.from(head, 'base64url').toString()).alg === 'ES256') {
    texts['n - s'] = `${head}.${payload}.${replaceS(bytes).toString('base64url')}`
  }

  return texts
}
