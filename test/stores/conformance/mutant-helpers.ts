import type { Test } from 'tap'
import type { RotationAttempt } from '../../../src/domain/rotation.js'
import type { Session } from '../../../src/domain/session.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import type { SessionRefusedError } from '../../../src/stores/token-store.js'
import type { RevocationPage, TokenStore } from '../../../src/stores/token-store.js'
import { findConformanceFailures } from '../../helpers/conformance-failures.js'

/** Returns the methods of a store that have a fault. */
export type Fault = (store: MemoryStore) => Partial<TokenStore>

/** Checks that tests with matching titles fail for a store with each of the faults. */
export function testFaults (
  t: Test,
  titles: RegExp,
  faults: Readonly<Record<string, Fault>>
): void {
  for (const [name, fault] of Object.entries(faults)) {
    t.test(`a store that ${name} fails the tests ${titles.source}`, async t => {
      const failures = await findConformanceFailures(() => ({ store: openMutant(fault) }), titles)
      t.ok(failures.length > 0, 'at least one test fails')
      t.comment(failures.map(({ title }) => title).join('; '))
    })
  }
}

export function yieldOnce (): Promise<void> {
  return new Promise(resolve => {
    setImmediate(resolve)
  })
}

export function ignore (reason: SessionRefusedError['reason']): (error: unknown) => void {
  return error => {
    if ((error as SessionRefusedError).reason !== reason) {
      throw error
    }
  }
}

export function rethrow (error: unknown): void {
  throw error
}

/** Rotates with a changed attempt. */
export function rotateLike (
  store: MemoryStore,
  change: (session: Session, attempt: RotationAttempt) => Partial<RotationAttempt>
): Partial<TokenStore> {
  return {
    async rotate (attempt) {
      const session = await store.find(attempt.realm, attempt.sessionId)
      return store.rotate(session === null ? attempt : { ...attempt, ...change(session, attempt) })
    }
  }
}

/** Returns a changed row after a rotation. */
export function changeRotated (
  store: MemoryStore,
  change: (session: Session, before: Session) => Partial<Session>
): Partial<TokenStore> {
  return {
    async rotate (attempt) {
      const before = await store.find(attempt.realm, attempt.sessionId)
      const { swapped, session } = await store.rotate(attempt)

      return session === null || before === null || !swapped
        ? { swapped, session }
        : { swapped, session: { ...session, ...change(session, before) } }
    }
  }
}

/** Finds a changed row. */
export function changeFound (
  store: MemoryStore,
  change: (session: Session) => Partial<Session>
): Partial<TokenStore> {
  return {
    async find (realm, sessionId) {
      const session = await store.find(realm, sessionId)
      return session === null ? null : { ...session, ...change(session) }
    }
  }
}

export function changePage (
  page: RevocationPage,
  change: (page: RevocationPage) => Partial<RevocationPage>
): RevocationPage {
  return { ...page, ...change(page) }
}

/** Accepts sessions whose not-before a sweep should have left. */
export function forgetRefusals (
  store: MemoryStore,
  isForgotten: (endedBefore: number, before: number) => boolean
): Partial<TokenStore> {
  let swept = -Infinity

  return {
    sweep (batch) {
      swept = Math.max(swept, batch.endedBefore)
      return store.sweep(batch)
    },
    create: session =>
      store.create(session).catch((error: unknown) => {
        const { before } = error as SessionRefusedError

        if (before === null || !isForgotten(swept, before)) {
          throw error
        }
      })
  }
}

export function openMutant (fault: Fault): TokenStore {
  const store = new MemoryStore()
  const methods = [
    'check',
    'create',
    'rotate',
    'find',
    'list',
    'revoke',
    'touch',
    'revocations',
    'sweep'
  ] as const
  const bound = Object.fromEntries(methods.map(name => [name, store[name].bind(store)]))
  return { ...bound as unknown as TokenStore, ...fault(store) }
}
