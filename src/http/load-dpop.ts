import type { DpopVerifier } from '../dpop/verifier.js'
import type { Logger } from '../events.js'
import type { Millis } from '../lib/time.js'
import type { ResolvedOptions } from '../options/resolve.js'
import { wrapAttemptStore } from '../stores/default-attempts.js'
import { deriveKeys } from '../tokens/key-derivation.js'
import type { RequestDpop } from './dpop.js'

/**
 * Loads and creates the DPoP verifier of a registration.
 *
 * Loads the modules only if DPoP is enabled, so that other apps start faster.
 *
 * @returns `null` if DPoP is disabled.
 */
export async function loadDpop (
  { dpop, name, publicUrl, secrets, storeTimeout }: ResolvedOptions,
  clock: () => Millis,
  logger: Logger
): Promise<{ readonly verifier: DpopVerifier, readonly requests: RequestDpop } | null> {
  if (dpop === null) {
    return null
  }

  const [{ DpopVerifier }, { DpopNonces }, { RequestDpop }] = await Promise.all([
    import('../dpop/verifier.js'),
    import('../dpop/nonces.js'),
    import('./dpop.js')
  ])
  const [current, ...previous] = deriveKeys(secrets.base, name, 'nonce')
  const nonceKeys = [current.key, ...previous.map(({ key }) => key)] as const
  const verifier = new DpopVerifier({
    nonces: dpop.nonces ? new DpopNonces(nonceKeys) : null,
    replays: wrapAttemptStore(dpop.replays, storeTimeout, logger),
    clock
  })
  return { verifier, requests: new RequestDpop(verifier, publicUrl) }
}
