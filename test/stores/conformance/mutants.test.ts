// Stores that break one law each: the conformance suite must catch every one, or it guards nothing.

import t from 'tap'
import { applyRotation } from '../../../src/domain/rotation.js'
import type { RotationAttempt, RotationOutcome } from '../../../src/domain/rotation.js'
import type { RevocationReason, Session } from '../../../src/domain/session.js'
import type { Millis } from '../../../src/lib/time.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import type { RevocationTarget, TokenStore, Touch } from '../../../src/stores/token-store.js'
import { brokenLaws } from '../../helpers/broken-laws.js'

const yieldOnce = (): Promise<void> =>
  new Promise(resolve => {
    setImmediate(resolve)
  })

const mutants: Record<string, () => TokenStore> = {
  'shows losers the row as it was before': () =>
    new class extends MemoryStore {
      override async rotate (attempt: RotationAttempt): Promise<RotationOutcome> {
        const before = await this.find(attempt.sessionId)
        await yieldOnce()
        const outcome = await super.rotate(attempt)
        return outcome.swapped ? outcome : { swapped: false, session: before }
      }
    }(),
  'lets two win': () =>
    new class extends MemoryStore {
      override async rotate (attempt: RotationAttempt): Promise<RotationOutcome> {
        const { swapped, session } = await super.rotate(attempt)
        return { swapped: swapped || session?.generation === attempt.generation + 1, session }
      }
    }(),
  'checks, then writes': () => {
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
  'sweeps a moment too soon': () =>
    new class extends MemoryStore {
      override sweep (
        { endedBefore, limit }: { endedBefore: Millis, limit: number }
      ): Promise<number> {
        return super.sweep({ endedBefore: endedBefore + 1, limit })
      }
    }(),
  'stops a sweep at the first session that lives on': () =>
    new class extends MemoryStore {
      override async sweep (batch: { endedBefore: Millis, limit: number }): Promise<number> {
        return Math.min(
          await super.sweep({ ...batch, limit: Math.min(batch.limit, 3) }),
          batch.limit
        )
      }
    }(),
  'ignores not-befores': () =>
    new class extends MemoryStore {
      override create (session: Session): Promise<void> {
        return super.create({ ...session, authenticatedAt: Number.MAX_SAFE_INTEGER })
      }
    }(),
  'takes the latest reason of a revocation': () =>
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
  'forgets `keep`': () =>
    new class extends MemoryStore {
      override revoke (
        target: RevocationTarget,
        revocation: { at: Millis, reason: RevocationReason }
      ): Promise<number> {
        return super.revoke('userId' in target ? { userId: target.userId } : target, revocation)
      }
    }(),
  'confirms generations that are not there yet': () =>
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
  'repeats the cursor in the feed': () =>
    new class extends MemoryStore {
      override revocations (
        after: { at: Millis, sessionId: string },
        limit: number
      ): ReturnType<MemoryStore['revocations']> {
        return super.revocations({ at: after.at, sessionId: '' }, limit)
      }
    }(),
  'compares user ids without case': () =>
    new class extends MemoryStore {
      override list (userId: string, page: { now: Millis, limit: number }): Promise<Session[]> {
        return super.list(userId.toLowerCase(), page)
      }
    }(),
  'lets the idle end pass the absolute one': () =>
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

t.test('the store that is mutated breaks no law', async t => {
  t.strictSame(await brokenLaws(() => ({ store: new MemoryStore() })), [])
})

for (const [sin, open] of Object.entries(mutants)) {
  t.test(`a store that ${sin} is caught`, async t => {
    const broken = await brokenLaws(() => ({ store: open() }))
    t.ok(broken.length > 0, 'at least one law is broken')
    t.comment(broken.map(({ law }) => law).join('; '))
  })
}
