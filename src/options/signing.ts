// Checks secrets and keys: those that tokens are signed with, and the pepper of passwords.

import { findWeakness } from '../tokens/key-derivation.js'
import { assert } from './validate.js'
import type { Secret, TokenAuthOptions } from './options.js'
import { readKeys } from '../tokens/keys.js'
import type { AppKeys } from '../tokens/keys.js'

/** The current secret, then the previous ones. */
export type Secrets = readonly [string | Uint8Array, ...Array<string | Uint8Array>]

/** */
export function resolveSecrets (
  base: Secret | undefined,
  forAccess: Secret | undefined,
  forRefresh: Secret | undefined
): { readonly base: Secrets, readonly access: Secrets, readonly refresh: Secrets } {
  const lists = Object.entries({
    secret: base,
    'accessToken.secret': forAccess,
    'refreshToken.secret': forRefresh
  })
    .filter(([option, value]) => option === 'secret' || value !== undefined)
    .map(([option, value]) => ({ option, secrets: checkSecrets(option, value) }))
  const currentOnes = new Map<string, string>()

  for (const { option, secrets } of lists) {
    // A previous secret may be the one that was shared until now.
    const current = Buffer.from(secrets[0] as string).toString('base64')
    assert(
      !currentOnes.has(current),
      `${option} is the same as ${currentOnes.get(current) ?? ''}: every secret must be another`
    )
    currentOnes.set(current, option)
  }

  return {
    base: toSecrets(base),
    access: toSecrets(forAccess ?? base),
    refresh: toSecrets(forRefresh ?? base)
  }
}

/** @throws TypeError that names the option and the fix */
export function checkSecrets (option: string, given: Secret | undefined): Secrets {
  const secrets = toSecrets(given)
  const distinct = new Set<string>()

  for (const secret of secrets) {
    assert(
      typeof secret === 'string' || secret instanceof Uint8Array,
      `${option} is missing: set it to 32 random bytes or more, such as \`openssl rand -base64 48\` prints`
    )
    const weakness = findWeakness(secret)
    assert(
      weakness === null,
      `${option} ${weakness ?? ''}: use a random one, such as \`openssl rand -base64 48\` prints`
    )
    distinct.add(Buffer.from(secret as string).toString('base64'))
  }

  assert(
    distinct.size === secrets.length,
    `${option} holds a secret twice: every one must be another`
  )
  return secrets
}

function toSecrets (secret: Secret | undefined): Secrets {
  return (Array.isArray(secret) && secret.length > 0 ? secret : [secret]) as unknown as Secrets
}

/** @throws TypeError that names the key by its place */
export function resolveKeys (
  { keys, issuer, audience, accessToken }: TokenAuthOptions
): AppKeys | null {
  if (keys === undefined) {
    return null
  }

  // Others verify these tokens; and a second registration with the same key must not take them for its own.
  assert(
    issuer !== undefined && audience !== undefined,
    'keys needs issuer and audience: a token for others must say whose it is, and for whom (RFC 9068 section 2.2)'
  )
  assert(
    accessToken?.secret === undefined,
    'accessToken.secret signs nothing where there are keys: take one of them away'
  )

  try {
    return readKeys(keys)
  } catch (error) {
    throw new TypeError(`fastify-token-auth: ${(error as Error).message}`)
  }
}
