// Which keys may have ended, by the hour in which they do. A key whose end has moved stays where it is until it is taken.

import { HOUR } from '../../lib/time.js'
import type { Millis } from '../../lib/time.js'

interface Hour {
  due: string[]
  /** Those that were looked at and had not ended before `seenAt`: they need no second look for that moment. */
  later: string[]
  seenAt: Millis
}

/** */
export class Ends {
  readonly #hours = new Map<number, Hour>()

  put (key: string, end: Millis): void {
    this.#hourOf(end).due.push(key)
  }

  /** At most so many keys that may have ended before that moment. None is left where none comes. */
  take (endedBefore: Millis, limit: number): string[] {
    const taken: string[] = []

    for (const [number, hour] of this.#hours) {
      if (number * HOUR >= endedBefore) {
        continue
      }

      if (hour.seenAt < endedBefore) {
        if (hour.later.length > 0) {
          hour.due = hour.due.concat(hour.later)
        }

        hour.later = []
        hour.seenAt = endedBefore
      }

      while (taken.length < limit && hour.due.length > 0) {
        taken.push(hour.due.pop() as string)
      }

      if (hour.due.length + hour.later.length === 0) {
        this.#hours.delete(number)
      }

      if (taken.length === limit) {
        break
      }
    }

    return taken
  }

  /**
   * Puts back what was taken and has not ended before that moment; `false` where it would come again at once, since somebody
   * asks for a later moment meanwhile. Then it is to wait until this sweep is over.
   */
  putBack (key: string, end: Millis, endedBefore: Millis): boolean {
    const hour = this.#hourOf(end, endedBefore)

    if (hour.seenAt > endedBefore) {
      return false
    }

    if (hour.seenAt === endedBefore) {
      hour.later.push(key)
    } else {
      hour.due.push(key)
    }

    return true
  }

  #hourOf (end: Millis, seenAt: Millis = -Infinity): Hour {
    const number = Math.floor(end / HOUR)
    let hour = this.#hours.get(number)

    if (hour === undefined) {
      hour = { due: [], later: [], seenAt }
      this.#hours.set(number, hour)
    }

    return hour
  }
}
