// What the options are made into, before there is any route: guarded stores, keys, the throttle.

import { DeviceTokens } from './throttle/device-tokens.js'
import type { JwtSigner } from './tokens/jwt-codec.js'
import { createSecretSigner } from './tokens/keys.js'
import { deriveKey } from './tokens/key-derivation.js'
import type { KeyPurpose } from './tokens/key-derivation.js'
import type { ResolvedOptions } from './options/resolve.js'
import type { Secrets } from './options/signing.js'
import { createGuard, guardAttemptStore, guardStore } from './stores/guarded-store.js'
import type { Events, Logger } from './events.js'
import { rejectUnstorableStrings } from './stores/guarded-store.js'
import { Throttle } from './throttle/throttle.js'
import { UserDirectory } from './sessions/users.js'
import type { AttemptStore } from './stores/attempt-store.js'
import { MemoryAttempts } from './stores/memory/attempts.js'
import type { TokenStore } from './stores/token-store.js'
import type { Millis } from './lib/time.js'

/** What the app brings, for as long as it may take to answer. */
export function wrapStore (
  { store, users }: ResolvedOptions,
  timeout: Millis,
  logger: Logger
): { readonly store: TokenStore, readonly users: UserDirectory } {
  const guard = createGuard(timeout, logger)

  return {
    store: rejectUnstorableStrings(guardStore(store, guard)),
    users: new UserDirectory(users, guard, logger)
  }
}

/** @param given By default, this process's memory. */
export function wrapAttemptStore (
  given: AttemptStore | null | undefined,
  timeout: Millis,
  logger: Logger
): AttemptStore {
  return guardAttemptStore(given ?? new MemoryAttempts(), createGuard(timeout, logger))
}

/** */
export function createThrottle (
  { name, throttle, secrets, clock }: ResolvedOptions,
  parts: { attempts: AttemptStore, events: Events, logger: Logger }
): Throttle | null {
  if (throttle === null) {
    return null
  }

  const { account, address } = throttle
  const [key] = deriveKeys(secrets.base, name, 'attempts')
  const devices = new DeviceTokens(createSecretSigners(secrets.base, name, 'device'))

  return new Throttle({
    ...parts,
    invalidTokens: new MemoryAttempts(),
    key,
    devices,
    account,
    address,
    clock
  })
}

/** */
export function deriveKeys (
  secrets: Secrets,
  name: string,
  purpose: KeyPurpose
): readonly [Buffer, ...Buffer[]] {
  return secrets.map(secret => deriveKey(secret, name, purpose).key) as [Buffer, ...Buffer[]]
}

/** */
export function createSecretSigners (
  secrets: Secrets,
  name: string,
  purpose: KeyPurpose
): readonly [JwtSigner, ...JwtSigner[]] {
  return secrets.map(secret => createSecretSigner(deriveKey(secret, name, purpose))) as unknown as [
    JwtSigner,
    ...JwtSigner[]
  ]
}
