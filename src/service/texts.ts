// Texts that not every database can hold, kept from all of them. UTF-8 has no lone surrogates, PostgreSQL takes no NUL, and
// drivers of SQLite read no further than one: such a text would come back as another, and two users would become one.

import type { Session } from '../domain/session.js'
import type { TokenStore } from '../stores/token-store.js'

/**
 * The same store, which is told of sound texts alone: what would write another rejects with a RangeError, and what has such an
 * id is not there.
 */
export function withSoundTexts (store: TokenStore): TokenStore {
  return {
    async create (session) {
      demandSound(...textsOf(session))
      return store.create(session)
    },
    // No async function, which would make one promise more for each refresh.
    rotate (attempt) {
      const { sessionId, by: { address, userAgent } } = attempt
      if (!isAbsentOrSound(address) || !isAbsentOrSound(userAgent)) return Promise.reject(unsound())
      return isSound(sessionId) ? store.rotate(attempt) : Promise.resolve({ swapped: false, session: null })
    },
    find: async sessionId => isSound(sessionId) ? store.find(sessionId) : null,
    list: async (userId, page) => isSound(userId) ? store.list(userId, page) : [],
    async revoke (target, revocation) {
      if ('sessionId' in target) return isSound(target.sessionId) ? store.revoke(target, revocation) : 0
      demandSound(target.userId, target.keep)
      return store.revoke(target, revocation)
    },
    touch: batch => store.touch(batch.filter(({ sessionId }) => isSound(sessionId))),
    revocations: (after, limit) => store.revocations(after, limit),
    sweep: batch => store.sweep(batch)
  }
}

function textsOf ({ id, userId, secretHash, rotatedBy, device }: Session): Array<string | null> {
  return [
    id, userId, secretHash, rotatedBy.address, rotatedBy.userAgent, device.label, device.address, device.userAgent
  ]
}

function demandSound (...texts: ReadonlyArray<string | null | undefined>): void {
  if (!texts.every(isAbsentOrSound)) throw unsound()
}

function unsound (): RangeError {
  return new RangeError('A text with a NUL character or a lone surrogate cannot be kept.')
}

function isAbsentOrSound (text: string | null | undefined): boolean {
  return text == null || isSound(text)
}

function isSound (text: string): boolean {
  return text.isWellFormed() && !text.includes('\0')
}
