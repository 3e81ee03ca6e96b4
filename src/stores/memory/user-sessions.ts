import type { Session } from '../../domain/session.js'

type Place = Pick<Session, 'id' | 'createdAt'>

/**
 * Sessions of each user, in the order of their creation.
 *
 * Revoked sessions are apart, so that a list does not examine them.
 */
export class UserSessions {
  // Arrays, because a Set takes 200 bytes and most users have one session.
  readonly #unrevoked = new Map<string, Place[]>()
  readonly #revoked = new Map<string, Place[]>()

  add (session: Session): void {
    const map = this.#mapOf(session)
    const places = map.get(session.userId)
    const place = { id: session.id, createdAt: session.createdAt }

    if (places === undefined) {
      map.set(session.userId, [place])
    } else {
      places.splice(findIndex(places, place), 0, place)
    }
  }

  delete (session: Session): void {
    const places = this.#mapOf(session).get(session.userId) as Place[]
    places.splice(findIndex(places, session), 1)
  }

  /** Returns the IDs of the unrevoked sessions of a user, the newest first. */
  *findUnrevoked (userId: string): Generator<string, void> {
    const places = this.#unrevoked.get(userId) ?? []

    for (let i = places.length - 1; i >= 0; i--) {
      yield (places[i] as Place).id
    }
  }

  /** Returns the IDs of all sessions of a user. */
  findAll (userId: string): string[] {
    return [this.#unrevoked, this.#revoked].flatMap(map => map.get(userId) ?? [])
      .map(({ id }) => id)
  }

  /** Removes users without sessions, one per step. Yields `false`, because no record is deleted. */
  *deleteUnused (): Generator<false, void> {
    for (const map of [this.#unrevoked, this.#revoked]) {
      for (const [userId, places] of map) {
        if (places.length === 0) {
          map.delete(userId)
        }

        yield false
      }
    }
  }

  #mapOf ({ revokedAt }: Session): Map<string, Place[]> {
    return revokedAt === null ? this.#unrevoked : this.#revoked
  }
}

/** Returns the index of a session, or the index at which to insert it. */
function findIndex (places: readonly Place[], place: Place): number {
  let [low, high] = [0, places.length]

  while (low < high) {
    const middle = (low + high) >>> 1

    if (isBefore(places[middle] as Place, place)) {
      low = middle + 1
    } else {
      high = middle
    }
  }

  return low
}

function isBefore (a: Place, b: Place): boolean {
  return a.createdAt < b.createdAt || (a.createdAt === b.createdAt && a.id < b.id)
}
