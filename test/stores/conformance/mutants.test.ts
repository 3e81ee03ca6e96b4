import t from 'tap'
import { NO_REPLAYS } from '../../../src/domain/session.js'
import { DAY } from '../../../src/lib/time.js'
import { SessionRefusedError, StoreSetupError } from '../../../src/stores/token-store.js'
import { findConformanceFailures } from '../../helpers/conformance-failures.js'
import {
  changeFound,
  forgetRefusals,
  ignore,
  openMutant,
  rethrow,
  testFaults
} from './mutant-helpers.js'

testFaults(t, /^check/, {
  'resolves without warnings': () => ({ check: async () => undefined as unknown as string[] }),
  'resolves with one string': () => ({ check: async () => 'a warning' as unknown as string[] }),
  'resolves with an empty warning': () => ({ check: async () => [''] }),
  'rejects the second call': () => {
    let calls = 0

    return {
      async check () {
        if (++calls > 1) {
          throw new Error('checked already')
        }

        return []
      }
    }
  },
  'revokes a session': store => ({
    async check () {
      await store.revoke({ realm: 'test', userId: 'ann' }, { at: 0, reason: 'revoked' })
      return []
    }
  }),
  'adds an entry to the feed': store => ({
    async check () {
      await store.revoke({ realm: 'other' }, { at: 0, reason: 'revoked' })
      return []
    }
  }),
  'deletes ended sessions': store => ({
    async check () {
      await store.sweep({ endedBefore: Infinity, limit: 100 })
      return []
    }
  })
})

const missing = new StoreSetupError(['table "x" is missing'], 'run migrate')

for (
  const [name, check] of Object.entries({
    'resolves without its tables': async () => [],
    'rejects with another error': () => Promise.reject(new Error(missing.message)),
    'names no problem': () => Promise.reject(new StoreSetupError([], 'run migrate')),
    'names no fix': () => Promise.reject(new StoreSetupError(['table "x" is missing'], '')),
    'rejects with the problem and the fix': () => Promise.reject(missing)
  })
) {
  t.test(`the tests of check judge an incomplete store that ${name}`, async t => {
    const openIncomplete = () => ({ store: openMutant(() => ({ check })) })
    const failures = await findConformanceFailures(
      () => ({ store: openMutant(() => ({})) }),
      /^check/,
      openIncomplete
    )
    t.equal(failures.length, name === 'rejects with the problem and the fix' ? 0 : 1)
  })
}

testFaults(t, /^create/, {
  'forgets the run of replays': store => ({
    create: session => store.create({ ...session, replayRun: NO_REPLAYS })
  }),
  'saves `createdAt` as `authenticatedAt`': store => ({
    create: session => store.create({ ...session, authenticatedAt: session.createdAt })
  }),
  'ignores a session whose ID is taken': store => ({
    create: session => store.create(session).catch(ignore('id-taken'))
  }),
  'accepts an ID that is taken in another realm': store => ({
    async create (session) {
      const inRealm = await store.find(session.realm, session.id)
      return store.create(session).catch(inRealm === null ? ignore('id-taken') : rethrow)
    }
  }),
  'ignores that a not-before ends the session': store => ({
    create: session => store.create(session).catch(ignore('revoked-since'))
  }),
  'refuses a session 1 ms after a not-before': store => ({
    create: session => store.create({ ...session, authenticatedAt: session.authenticatedAt - 1 })
  }),
  'reports the first not-before': store => {
    let first: number | null = null

    return {
      revoke (target, details) {
        first ??= details.at
        return store.revoke(target, details)
      },
      create: session =>
        store.create(session).catch((error: unknown) => {
          throw (error as SessionRefusedError).reason === 'revoked-since'
            ? new SessionRefusedError({ before: first as number })
            : error
        })
    }
  },
  'keeps a session for every not-before of its user': store => {
    const kept = new Set<string>()

    return {
      revoke (target, details) {
        kept.add('userId' in target ? target.keep ?? '' : '')
        return store.revoke(target, details)
      },
      create: session => store.create(session).catch(kept.has(session.id) ? () => {} : rethrow)
    }
  }
})

testFaults(t, /^(find|list|revoke of a realm)/, {
  'finds a session of another realm': store => ({
    find: async (realm, id) => await store.find(realm, id) ?? store.find('test', id)
  }),
  'ignores the case of an ID': store => ({
    find: async (realm, id) => await store.find(realm, id) ?? store.find(realm, 'sAbc')
  }),
  'finds a session as if its realm were not revoked': store => ({
    async find (realm, id) {
      const session = await store.find(realm, id)
      return session === null ? null : { ...session, revokedAt: null, revokedFor: null }
    }
  }),
  'lists ended sessions': store => ({
    list: (realm, userId, { limit }) => store.list(realm, userId, { now: 0, limit })
  }),
  'lists sessions of other realms': store => ({
    list: (_realm, userId, page) => store.list('test', userId, page)
  }),
  'lists the oldest session first': store => ({
    list: async (realm, userId, page) =>
      (await store.list(realm, userId, { ...page, limit: 100 })).toReversed()
        .slice(0, page.limit)
  }),
  'lists without a limit': store => ({
    list: (realm, userId, { now }) => store.list(realm, userId, { now, limit: 100 })
  }),
  'compares user IDs case-insensitively': store => ({
    list: (realm, userId, page) => store.list(realm, userId.toLowerCase(), page)
  }),
  'trims user IDs': store => ({
    list: (realm, userId, page) => store.list(realm, userId.trim(), page)
  })
})

testFaults(t, /^touch/, {
  'confirms a generation that does not exist yet': store => ({
    async touch (batch) {
      await store.touch(batch.map(touch => ({
        ...touch,
        confirmedGeneration: touch.confirmedGeneration + 1
      })))
    }
  }),
  'touches a session of another realm': store => ({
    touch: batch =>
      store.touch(batch.flatMap(touch => ['test', 'other'].map(realm => ({ ...touch, realm }))))
  }),
  'touches only the first session of a batch': store => ({
    touch: batch => store.touch(batch.slice(0, 1))
  }),
  'rejects a batch with an unknown session': store => ({
    async touch (batch) {
      for (const { realm, sessionId } of batch) {
        if (await store.find(realm, sessionId) === null) {
          throw new Error('unknown session')
        }
      }

      return store.touch(batch)
    }
  }),
  'ignores the generation of a touch': store => ({
    async touch (batch) {
      for (const touch of batch) {
        const session = await store.find(touch.realm, touch.sessionId)
        await store.touch([{ ...touch, generation: session?.generation ?? 0 }])
      }
    }
  }),
  'ignores `graceFrom`': store => ({
    touch: batch => store.touch(batch.map(touch => ({ ...touch, graceFrom: null })))
  }),
  'ignores `replayRun`': store => ({
    touch: batch => store.touch(batch.map(touch => ({ ...touch, replayRun: null })))
  }),
  'accepts a run of a lower generation': store =>
    changeFound(store, session => ({
      replayRun: { ...session.replayRun, generation: Math.min(session.replayRun.generation, 4) }
    })),
  'moves `lastUsedAt` back': store => {
    let last = 0

    return {
      touch (batch) {
        last = batch.at(-1)?.lastUsedAt ?? last
        return store.touch(batch)
      },
      ...changeFound(store, () => ({ lastUsedAt: last }))
    }
  }
})

testFaults(t, /^sweep/, {
  'sweeps without a limit': store => ({
    sweep: ({ endedBefore }) => store.sweep({ endedBefore, limit: 1_000_000 })
  }),
  'sweeps 1 ms too early': store => ({
    sweep: ({ endedBefore, limit }) => store.sweep({ endedBefore: endedBefore + 1, limit })
  }),
  'sweeps nothing': () => ({ sweep: async () => 0 }),
  'ends a sweep before everything is deleted': store => ({
    sweep: ({ endedBefore, limit }) => store.sweep({ endedBefore, limit: Math.min(limit, 3) })
  }),
  'sweeps not-befores that still end sessions': store =>
    forgetRefusals(store, (endedBefore, before) => before < endedBefore),
  'sweeps no not-befores': store => {
    const befores: number[] = []

    return {
      revoke (target, details) {
        befores.push(details.at)
        return store.revoke(target, details)
      },
      async create (session) {
        if (befores.some(before => session.authenticatedAt <= before)) {
          throw new SessionRefusedError({ before: Math.max(...befores) })
        }

        await store.create(session)
      }
    }
  },
  'sweeps the not-befores of realms': store =>
    forgetRefusals(store, (endedBefore, before) => before < endedBefore - 80 * DAY),
  'sweeps feed entries by the time of the revocation': store => {
    let swept = -Infinity

    return {
      async sweep (batch) {
        swept = Math.max(swept, batch.endedBefore)
        return store.sweep(batch)
      },
      async revocations (after, limit) {
        const page = await store.revocations(after, limit)
        return { ...page, entries: page.entries.filter(({ at }) => at >= swept) }
      }
    }
  },
  'stops readers by a sweep': store => {
    let isSwept = false

    return {
      sweep (batch) {
        isSwept = true
        return store.sweep(batch)
      },
      async revocations (after, limit) {
        const page = await store.revocations(after, limit)
        return isSwept && typeof after === 'string' ? { ...page, entries: [] } : page
      }
    }
  }
})

t.test('the memory store without a fault passes the conformance suite', async t => {
  t.strictSame(await findConformanceFailures(() => ({ store: openMutant(() => ({})) })), [])
})
