import type { Caller, Session } from '../domain/session.js'
import { BoundedMap } from '../lib/bounded-map.js'
import { getNetwork } from '../lib/ip-network.js'

/** Decides whether two requests may come from the same client. */
export type IsSameClient = (one: Caller, other: Caller) => boolean

const SUSPICIOUS_RUN = 3
const MAX_SESSIONS = 10_000

interface Run {
  readonly generation: number
  readonly length: number
}

/**
 * Detects an attacker who replays every refresh token within the grace period.
 *
 * One replay by another client is normal, for example by a phone that has changed its network.
 * Replays of three successive generations are suspicious.
 */
export class ReplayMonitor {
  readonly #isSameClient: IsSameClient
  // Per process: if the replays reach several instances, detection takes longer.
  readonly #runs = new BoundedMap<string, Run>(MAX_SESSIONS)

  constructor (isSameClient: IsSameClient) {
    this.#isSameClient = isSameClient
  }

  /**
   * Records a replay.
   *
   * @returns Whether another client has replayed at least three successive generations.
   */
  record ({ id, generation, rotatedBy }: Session, by: Caller): boolean {
    if (this.#isSameClient(rotatedBy, by)) {
      return false
    }

    const last = this.#runs.get(id)

    if (last?.generation === generation) {
      return false
    }

    const length = last?.generation === generation - 1 ? last.length + 1 : 1
    this.#runs.set(id, { generation, length })
    return length >= SUSPICIOUS_RUN
  }
}

/**
 * Default of `refreshToken.isSameClient`: same user agent or same network.
 *
 * Clients change one of them often, and both at the same time rarely.
 */
export function isSameClientByDefault (one: Caller, other: Caller): boolean {
  return one.userAgent === other.userAgent ||
    (one.address !== null && other.address !== null &&
      getNetwork(one.address) === getNetwork(other.address))
}
