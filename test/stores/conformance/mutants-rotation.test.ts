import t from 'tap'
import { applyRotation, canRotate } from '../../../src/domain/rotation.js'
import type { Session } from '../../../src/domain/session.js'
import { DAY } from '../../../src/lib/time.js'
import { changeRotated, rotateLike, testFaults, yieldOnce } from './mutant-helpers.js'

testFaults(t, /^rotate/, {
  'returns the old session after a lost race': store => ({
    async rotate (attempt) {
      const old = await store.find(attempt.realm, attempt.sessionId)
      await yieldOnce()
      const outcome = await store.rotate(attempt)
      return outcome.swapped ? outcome : { swapped: false, session: old }
    }
  }),
  'reports success twice for one generation': store => ({
    async rotate (attempt) {
      const { swapped, session } = await store.rotate(attempt)
      return { swapped: swapped || session?.generation === attempt.to, session }
    }
  }),
  'checks and writes in two steps': store => {
    const rows = new Map<string, Session>()

    return {
      async rotate (attempt) {
        const row = rows.get(attempt.sessionId) ??
          await store.find(attempt.realm, attempt.sessionId)
        await yieldOnce()

        if (row === null || !canRotate(row, attempt)) {
          return { swapped: false, session: row }
        }

        const session = applyRotation(row, attempt)
        rows.set(session.id, session)
        return { swapped: true, session }
      }
    }
  },
  'ignores the secret': store => rotateLike(store, ({ secretHash }) => ({ secretHash })),
  'ignores the generation': store => rotateLike(store, ({ generation }) => ({ from: generation })),
  'ignores the realm': store => ({
    rotate: async attempt => {
      const [ours, theirs] = [
        await store.rotate(attempt),
        await store.rotate({ ...attempt, realm: 'test' })
      ]
      return ours.session === null ? theirs : ours
    }
  }),
  'ignores the grace period': store => rotateLike(store, () => ({ graceBefore: Infinity })),
  'rotates 1 ms too late': store =>
    rotateLike(store, (_session, { graceBefore }) => ({ graceBefore: graceBefore - 1 })),
  'rotates 1 ms too early': store =>
    rotateLike(store, (_session, { graceBefore }) => ({ graceBefore: graceBefore + 1 })),
  'ignores `graceAfter`': store => rotateLike(store, () => ({ graceAfter: Infinity })),
  'applies `graceAfter` 1 ms too early': store =>
    rotateLike(store, (_session, { graceAfter }) => ({ graceAfter: graceAfter - 1 })),
  'rotates an expired session': store =>
    rotateLike(store, ({ expiresAt }, { heals, now }) =>
      heals || now < expiresAt ? {} : {
        now: expiresAt - 1
      }),
  'treats the first generation like the others': store => ({
    async rotate (attempt) {
      const session = await store.find(attempt.realm, attempt.sessionId)
      const isInGrace = session !== null && session.graceFrom > attempt.graceBefore &&
        session.graceFrom <= attempt.graceAfter
      return isInGrace ? { swapped: false, session } : store.rotate(attempt)
    }
  }),
  'does not heal': store => rotateLike(store, () => ({ heals: false })),
  'heals within the grace period only after it': store =>
    rotateLike(store, (session, attempt) => ({
      heals: attempt.heals && session.graceFrom <= attempt.graceBefore
    })),
  'heals no expired session': store =>
    rotateLike(store, (session, attempt) => ({
      heals: attempt.heals && attempt.now < session.expiresAt
    })),
  'heals by one generation': store =>
    rotateLike(store, ({ generation }, { heals, to }) => ({ to: heals ? generation + 1 : to })),
  'heals a revoked session': store => ({
    async rotate (attempt) {
      const { swapped, session } = await store.rotate(attempt)
      return { swapped: swapped || (attempt.heals && session?.revokedAt !== null), session }
    }
  }),
  'does not confirm the generation that it heals': store =>
    changeRotated(store, (_session, before) => ({
      confirmedGeneration: before.confirmedGeneration
    })),
  'confirms each generation': store =>
    changeRotated(store, ({ generation }) => ({ confirmedGeneration: generation })),
  'extends a session past its absolute end': store =>
    changeRotated(store, ({ createdAt }) => ({ expiresAt: createdAt + 9 * DAY })),
  'moves `lastUsedAt` back': store =>
    changeRotated(store, ({ rotatedAt }) => ({ lastUsedAt: rotatedAt })),
  'moves `graceFrom` back': store =>
    changeRotated(store, ({ rotatedAt }) => ({ graceFrom: rotatedAt })),
  'leaves `graceFrom` as it was': store =>
    changeRotated(store, (_session, { graceFrom }) => ({ graceFrom })),
  'leaves `rotatedBy` as it was': store =>
    changeRotated(store, (_session, { rotatedBy }) => ({ rotatedBy })),
  'notes a use when it refuses': store => ({
    async rotate (attempt) {
      const { swapped, session } = await store.rotate(attempt)

      return session === null || swapped
        ? { swapped, session }
        : { swapped, session: { ...session, lastUsedAt: attempt.now } }
    }
  }),
  'returns no session when it refuses': store => ({
    async rotate (attempt) {
      const outcome = await store.rotate(attempt)
      return outcome.swapped ? outcome : { swapped: false, session: null }
    }
  })
})
