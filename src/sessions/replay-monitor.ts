// A thief who never lets go: presents each token of a session a moment after its client has, inside the grace, and so is always
// given the successor. One replay from elsewhere is a phone that has changed its network; three generations running are not.

import { getNetwork } from '../lib/ip-network.js'
import type { Caller, Session } from '../domain/session.js'
import { BoundedMap } from '../lib/bounded-map.js'

/** Whether two requests may well come from one client. */
export type IsSameClient = (one: Caller, other: Caller) => boolean

const RUNNING = 3
const REMEMBERED = 10_000

interface Run {
  readonly generation: number
  readonly length: number
}

/** */
export class ReplayMonitor {
  readonly #isSame: IsSameClient
  // In this process: a session whose replays come to several instances is found out later.
  readonly #runs = new BoundedMap<string, Run>(REMEMBERED)

  constructor (isSame: IsSameClient) {
    this.#isSame = isSame
  }

  /** Notes a replay. @returns Whether it is the third generation running, or more, whose replay came from elsewhere. */
  record ({ id, generation, rotatedBy }: Session, by: Caller): boolean {
    if (this.#isSame(rotatedBy, by)) {
      return false
    }

    const last = this.#runs.get(id)

    if (last?.generation === generation) {
      return false
    }

    const length = last?.generation === generation - 1 ? last.length + 1 : 1
    this.#runs.set(id, { generation, length })
    return length >= RUNNING
  }
}

/** By default: the same network or the same user agent. Clients change the one or the other, and seldom both at once. */
export function isSameClientByDefault (one: Caller, other: Caller): boolean {
  return one.userAgent === other.userAgent ||
    (one.address !== null && other.address !== null &&
      getNetwork(one.address) === getNetwork(other.address))
}
