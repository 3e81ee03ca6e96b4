import { BoundedMap } from '../lib/bounded-map.js'

// Bounds the memory while the issuer does not respond.
const MAX_PENDING = 250_000
// The half that was used last is never dropped. A dropped session only costs one more note.
const MAX_ACKNOWLEDGED = 200_000

/** Report that a token was accepted. The members are its claims. */
export interface Note {
  readonly sid: string
  readonly gen: number
  readonly seen: string
}

/**
 * Notes for the issuer, the oldest first.
 *
 * Keeps the newest generation of each session only. A session with a newer generation keeps its
 * place, so that all sessions take turns.
 */
export class PendingNotes {
  readonly #acknowledged = new BoundedMap<string, number>(MAX_ACKNOWLEDGED)
  readonly #pending = new Map<string, Note>()

  /** Number of sessions with a note that the issuer has not acknowledged. */
  get size (): number {
    return this.#pending.size
  }

  /** Adds a note, unless one of this or a newer generation was added before. */
  add (note: Note): void {
    const { sid, gen } = note
    const known = this.#pending.get(sid)?.gen ?? this.#acknowledged.get(sid) ?? -1

    if (gen <= known) {
      return
    }

    if (this.#pending.size >= MAX_PENDING && !this.#pending.has(sid)) {
      this.#dropOldest()
    }

    this.#pending.set(sid, note)
  }

  /**
   * Returns the oldest notes whose JSON fits into a number of bytes. They stay until they are
   * acknowledged.
   */
  getBatch (maxLength: number): Note[] {
    const batch: Note[] = []
    let length = 2

    for (const note of this.#pending.values()) {
      length += Buffer.byteLength(JSON.stringify(note)) + 1

      if (length > maxLength) {
        break
      }

      batch.push(note)
    }

    return batch
  }

  /** Removes the notes that the issuer has received. Newer ones of their sessions stay. */
  acknowledge (batch: readonly Note[]): void {
    for (const { sid, gen } of batch) {
      const pending = this.#pending.get(sid)

      if (pending !== undefined && pending.gen <= gen) {
        this.#pending.delete(sid)
      }

      this.#acknowledged.set(sid, Math.max(gen, this.#acknowledged.get(sid) ?? 0))
    }
  }

  // The next generation of the session is noted again.
  #dropOldest (): void {
    const [oldest] = this.#pending.keys()

    if (oldest !== undefined) {
      this.#pending.delete(oldest)
    }
  }
}
