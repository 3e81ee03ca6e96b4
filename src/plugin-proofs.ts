// What `dpop` adds to the plugin. It is loaded where that is set: the start of an app without it reads none of it.

import { DpopNonces } from './credentials/dpop-nonce.js'
import { proofAlgorithms } from './credentials/dpop-proof.js'
import { keysOf, reachAttempts } from './plugin-parts.js'
import { RequestProofs } from './request-proofs.js'
import type { ResolvedOptions } from './resolve-options.js'
import type { Logger } from './service/events.js'
import { Proofs } from './service/proofs.js'

export interface ProofParts {
  readonly proofs: Proofs
  readonly requestProofs: RequestProofs
  /** The `alg` of proofs that are accepted: for metadata and challenges. */
  readonly algorithms: readonly string[]
}

export function createProofs (options: ResolvedOptions, dpop: NonNullable<ResolvedOptions['dpop']>, logger: Logger): ProofParts {
  const { name, secrets, storeTimeout, publicUrl, clock } = options
  const nonces = dpop.nonces ? new DpopNonces(keysOf(secrets.base, name, 'nonce')) : null
  const proofs = new Proofs({ nonces, replays: reachAttempts(dpop.replays, storeTimeout, logger), clock })
  return { proofs, requestProofs: new RequestProofs(proofs, publicUrl), algorithms: proofAlgorithms }
}
