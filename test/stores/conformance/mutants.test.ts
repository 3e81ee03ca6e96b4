import t from 'tap'
import { applyRotation } from '../../../src/domain/rotation.js'
import type { RotationAttempt, RotationOutcome } from '../../../src/domain/rotation.js'
import type { RevocationReason, Session } from '../../../src/domain/session.js'
import type { Millis } from '../../../src/lib/time.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import type { RevocationTarget, TokenStore, Touch } from '../../../src/stores/token-store.js'
import { findConformanceFailures } from '../../helpers/conformance-failures.js'

const yieldOnce = (): Promise<void> =>
  new Promise(resolve => {
    setImmediate(resolve)
  })

const mutants: Record<string, () => TokenStore> = {
  'returns the old session after a lost race': () =>
    new class extends MemoryStore {
      override async rotate (attempt: RotationAttempt): Promise<RotationOutcome> {
        const old = await this.find(attempt.sessionId)
        await yieldOnce()
        const outcome = await super.rotate(attempt)
        return outcome.swapped ? outcome : { swapped: false, session: old }
      }
    }(),
  'reports success twice for one generation': () =>
    new class extends MemoryStore {
      override async rotate (attempt: RotationAttempt): Promise<RotationOutcome> {
        const { swapped, session } = await super.rotate(attempt)
        return { swapped: swapped || session?.generation === attempt.generation + 1, session }
      }
    }(),
  'checks and writes in two steps': () => {
    const store = new MemoryStore()
    const rows = new Map<string, Session>()

    return Object.assign(store, {
      async rotate (attempt: RotationAttempt): Promise<RotationOutcome> {
        const row = rows.get(attempt.sessionId) ?? await store.find(attempt.sessionId)
        await yieldOnce()

        if (row?.generation !== attempt.generation) {
          return { swapped: false, session: row }
        }

        const session = applyRotation(row, attempt)
        rows.set(session.id, session)
        return { swapped: true, session }
      }
    })
  },
  'sweeps without a limit': () =>
    new class extends MemoryStore {
      override sweep ({ endedBefore }: { endedBefore: Millis }): Promise<number> {
        return super.sweep({ endedBefore, limit: 1_000_000 })
      }
    }(),
  'sweeps 1 ms too early': () =>
    new class extends MemoryStore {
      override sweep (
        { endedBefore, limit }: { endedBefore: Millis, limit: number }
      ): Promise<number> {
        return super.sweep({ endedBefore: endedBefore + 1, limit })
      }
    }(),
  'ends a sweep at the first live session': () =>
    new class extends MemoryStore {
      override async sweep (batch: { endedBefore: Millis, limit: number }): Promise<number> {
        return Math.min(
          await super.sweep({ ...batch, limit: Math.min(batch.limit, 3) }),
          batch.limit
        )
      }
    }(),
  'ignores the not-before of a user': () =>
    new class extends MemoryStore {
      override create (session: Session): Promise<void> {
        return super.create({ ...session, authenticatedAt: Number.MAX_SAFE_INTEGER })
      }
    }(),
  'overwrites the reason of a revocation': () =>
    new class extends MemoryStore {
      override async find (id: string): Promise<Session | null> {
        const session = await super.find(id)

        return session && this.latest !== undefined && session.revokedAt !== null
          ? { ...session, revokedFor: this.latest }
          : session
      }

      latest: RevocationReason | undefined
      override revoke (
        target: RevocationTarget,
        revocation: { at: Millis, reason: RevocationReason }
      ): Promise<number> {
        this.latest = revocation.reason
        return super.revoke(target, revocation)
      }
    }(),
  'ignores `keep`': () =>
    new class extends MemoryStore {
      override revoke (
        target: RevocationTarget,
        revocation: { at: Millis, reason: RevocationReason }
      ): Promise<number> {
        return super.revoke('userId' in target ? { userId: target.userId } : target, revocation)
      }
    }(),
  'confirms a generation that does not exist yet': () =>
    new class extends MemoryStore {
      override async touch (batch: readonly Touch[]): Promise<void> {
        await super.touch(
          batch.map(touch => ({ ...touch, confirmedGeneration: touch.confirmedGeneration + 1 }))
        )
      }
    }(),
  'lists ended sessions': () =>
    new class extends MemoryStore {
      override list (userId: string, { limit }: { limit: number }): Promise<Session[]> {
        return super.list(userId, { now: 0, limit })
      }
    }(),
  'repeats the entry at the cursor in the feed': () =>
    new class extends MemoryStore {
      override revocations (
        after: { at: Millis, sessionId: string },
        limit: number
      ): ReturnType<MemoryStore['revocations']> {
        return super.revocations({ at: after.at, sessionId: '' }, limit)
      }
    }(),
  'compares user ids case-insensitively': () =>
    new class extends MemoryStore {
      override list (userId: string, page: { now: Millis, limit: number }): Promise<Session[]> {
        return super.list(userId.toLowerCase(), page)
      }
    }(),
  'extends a session past its absolute end': () =>
    new class extends MemoryStore {
      override async rotate (attempt: RotationAttempt): Promise<RotationOutcome> {
        const { swapped, session } = await super.rotate(attempt)

        return {
          swapped,
          session: session && swapped ? { ...session, expiresAt: attempt.expiresAt } : session
        }
      }
    }()
}

t.test('the memory store without a fault passes the conformance suite', async t => {
  t.strictSame(await findConformanceFailures(() => ({ store: new MemoryStore() })), [])
})

for (const [fault, open] of Object.entries(mutants)) {
  t.test(`a store that ${fault} fails the conformance suite`, async t => {
    const failures = await findConformanceFailures(() => ({ store: open() }))
    t.ok(failures.length > 0, 'at least one test fails')
    t.comment(failures.map(({ title }) => title).join('; '))
  })
}
