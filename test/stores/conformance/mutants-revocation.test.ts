import t from 'tap'
import type { Session } from '../../../src/domain/session.js'
import { DAY, HOUR } from '../../../src/lib/time.js'
import type { Revocation } from '../../../src/stores/token-store.js'
import { changePage, testFaults } from './mutant-helpers.js'

testFaults(t, /^revoke/, {
  'rotates a session that a not-before ends': store => ({
    async rotate (attempt) {
      const { swapped, session } = await store.rotate(attempt)

      return session === null || swapped
        ? { swapped, session }
        : { swapped: true, session: { ...session, revokedAt: null, revokedFor: null } }
    }
  }),
  'overwrites the reason of a revocation': store => {
    let latest: Session['revokedFor'] = null

    return {
      revoke (target, details) {
        latest = details.reason
        return store.revoke(target, details)
      },
      async find (realm, sessionId) {
        const session = await store.find(realm, sessionId)

        return session === null || session.revokedAt === null
          ? session
          : { ...session, revokedFor: latest }
      }
    }
  },
  'counts a revocation again': store => ({
    async revoke (target, details) {
      const count = await store.revoke(target, details)

      return 'sessionId' in target && target.secretHash === undefined &&
          await store.find(target.realm, target.sessionId) !== null
        ? 1
        : count
    }
  }),
  'ignores `keep`': store => ({
    revoke: (target, details) =>
      store.revoke(
        'userId' in target ? { realm: target.realm, userId: target.userId } : target,
        details
      )
  }),
  'ignores the secret': store => ({
    revoke: (target, details) =>
      store.revoke(
        'sessionId' in target ? { realm: target.realm, sessionId: target.sessionId } : target,
        details
      )
  }),
  'ignores the realm of a session': store => ({
    revoke: (target, details) =>
      store.revoke('sessionId' in target ? { ...target, realm: 'test' } : target, details)
  }),
  'ignores the realm of a user': store => ({
    revoke: (target, details) =>
      store.revoke('userId' in target ? { ...target, realm: 'test' } : target, details)
  }),
  'ends only sessions that were created until `at`': store => ({
    async revocations (after, limit) {
      const page = await store.revocations(after, limit)

      return {
        ...page,
        entries: page.entries.map(entry =>
          'before' in entry ? { ...entry, before: entry.at } : entry
        )
      }
    }
  }),
  'adds an entry for each call': store => ({
    async revoke (target, details) {
      const count = await store.revoke(target, details)

      if ('sessionId' in target && count === 0) {
        await store.revoke({ realm: target.realm, userId: 'nobody' }, details)
      }

      return count
    }
  }),
  'lets an earlier moment replace that of a realm': store => {
    let last: Revocation | null = null

    return {
      revoke (target, { at, reason }) {
        if (!('sessionId' in target) && !('userId' in target)) {
          last = { realm: target.realm, at, reason, before: at }
        }

        return store.revoke(target, { at, reason })
      },
      async revocations (after, limit) {
        const page = await store.revocations(after, limit)
        return last === null ? page : { ...page, entries: [last] }
      }
    }
  },
  'marks the rows of a realm': store => ({
    async revoke (target, details) {
      await store.revoke(target, details)
      return 'sessionId' in target || 'userId' in target ? 1 : 2
    }
  }),
  'merges the not-befores of a user': store => {
    const keepByUser = new Map<string, string | undefined>()

    return {
      async revoke (target, details) {
        if ('userId' in target) {
          keepByUser.set(target.userId, target.keep)
        }

        return store.revoke(target, details)
      },
      async find (realm, sessionId) {
        const session = await store.find(realm, sessionId)

        return session !== null && keepByUser.get(session.userId) === sessionId
          ? { ...session, revokedAt: null, revokedFor: null }
          : session
      }
    }
  },
  'revokes by a later not-before although an earlier one ended the session': store => {
    const ends = new Map<string, { at: number, reason: Session['revokedFor'] }>()

    return {
      revoke (target, { at, reason }) {
        if ('userId' in target) {
          ends.set(target.userId, { at, reason })
        }

        return store.revoke(target, { at, reason })
      },
      async find (realm, sessionId) {
        const session = await store.find(realm, sessionId)
        const end = ends.get(session?.userId ?? '')

        return session === null || session.revokedAt === null || end === undefined
          ? session
          : { ...session, revokedAt: end.at, revokedFor: end.reason }
      }
    }
  }
})

testFaults(t, /^revocations/, {
  'throws for a cursor that it cannot read': store => ({
    async revocations (after, limit) {
      if (typeof after === 'string' && !/^\d+$/.test(after)) {
        throw new TypeError('invalid cursor')
      }

      return store.revocations(after, limit)
    }
  }),
  'shows nothing for a cursor that it cannot read': store => ({
    async revocations (after, limit) {
      const page = await store.revocations(after, limit)

      return typeof after === 'string' && !/^\d{1,6}$/.test(after)
        ? { ...page, entries: [] }
        : page
    }
  }),
  'skips an entry after a page': store => ({
    revocations: async (after, limit) =>
      changePage(
        await store.revocations(after, limit),
        ({ cursor, complete }) => ({ cursor: complete ? cursor : String(Number(cursor) + 1) })
      )
  }),
  'starts a window at every read': store => ({
    revocations: (_after, limit) => store.revocations({ within: DAY }, limit)
  }),
  'ends a page early': store => ({
    revocations: async (after, limit) =>
      changePage(await store.revocations(after, limit), () => ({ complete: true }))
  }),
  'ignores the limit': store => ({
    revocations: after => store.revocations(after, 1000)
  }),
  'shares one position between all readers': store => {
    let position: string | null = null

    return {
      async revocations (after, limit) {
        const page = await store.revocations(
          typeof after === 'string' ? position ?? after : after,
          limit
        )
        position = page.cursor
        return page
      }
    }
  },
  'shows no not-before of a realm in a window': store => ({
    revocations: async (after, limit) =>
      changePage(
        await store.revocations(after, limit),
        ({ entries }) => ({
          entries: entries.filter(entry => 'sessionId' in entry || 'userId' in entry)
        })
      )
  }),
  'shows the not-befores of realms on every page': store => ({
    async revocations (after, limit) {
      const page = await store.revocations(after, limit)
      const { entries } = await store.revocations({ within: -HOUR }, 0)
      return { ...page, entries: [...entries, ...page.entries] }
    }
  }),
  'returns the time in seconds': store => ({
    revocations: async (after, limit) =>
      changePage(await store.revocations(after, limit), ({ now }) => ({ now: now / 1000 }))
  }),
  'returns a fraction of a millisecond': store => ({
    revocations: async (after, limit) =>
      changePage(await store.revocations(after, limit), ({ now }) => ({ now: now + 0.5 }))
  }),
  'leaves `keep` out': store => ({
    revocations: async (after, limit) =>
      changePage(
        await store.revocations(after, limit),
        ({ entries }) => ({
          entries: entries.map(entry => {
            const { keep, ...others } = entry as { keep?: string } & Revocation
            return others as Revocation
          })
        })
      )
  }),
  'orders by the time of the revocation': store => {
    let last = -Infinity

    return {
      async revocations (after, limit) {
        const page = await store.revocations(after, limit)
        const entries = page.entries.filter(({ at }) => at >= last)
        last = Math.max(last, ...entries.map(({ at }) => at))
        return { ...page, entries }
      }
    }
  },
  'adds the entry after the revocation': store => {
    let pending: Array<() => Promise<unknown>> = []

    return {
      async revoke (target, details) {
        pending.push(() => store.revoke(target, details))
        return 1
      },
      async revocations (after, limit) {
        const page = await store.revocations(after, limit)
        await Promise.all(pending.map(revoke => revoke()))
        pending = []
        return page
      }
    }
  }
})
