import type { Caller, ReplayRun, Session } from '../domain/session.js'
import { getNetwork } from '../lib/ip-network.js'

/** Decides whether two requests may come from the same client. */
export type IsSameClient = (one: Caller, other: Caller) => boolean

const SUSPICIOUS_RUN = 3

/** Result of {@link judgeReplay}. */
export interface ReplayVerdict {
  /** New run of the row. */
  readonly run: ReplayRun
  readonly isSuspicious: boolean
}

/**
 * Judges the use of a refresh token that was presented before.
 *
 * One replay by another client is normal, for example by a phone that has changed its network.
 * Replays of three successive generations are suspicious, and so is a recovery by another client
 * than the one that rotated.
 *
 * @returns `null` if the same client may have presented the token, or if the generation was counted
 * before and this is no recovery.
 */
export function judgeReplay (
  { generation, rotatedBy, replayRun }: Session,
  by: Caller,
  isRecovery: boolean,
  isSameClient: IsSameClient
): ReplayVerdict | null {
  if (isSameClient(rotatedBy, by)) {
    return null
  }

  if (replayRun.generation === generation) {
    // An attacker may replay the token within the grace period, and recover it afterwards.
    return isRecovery ? { run: replayRun, isSuspicious: true } : null
  }

  const length = replayRun.generation === generation - 1 ? replayRun.length + 1 : 1
  return { run: { generation, length }, isSuspicious: isRecovery || length >= SUSPICIOUS_RUN }
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
