import t from 'tap'
import type { Test } from 'tap'
import { applyRotation, planRotation } from '../../../src/domain/rotation.js'
import type { RotationAttempt } from '../../../src/domain/rotation.js'
import { rejectUnstorableStrings } from '../../../src/stores/guarded-store.js'
import { SessionRefusedError } from '../../../src/stores/token-store.js'
import type { Caller, Revocation, Session, TokenStore } from '../../../src/stores/token-store.js'
import type { Millis } from '../../../src/lib/time.js'
import { DAY } from '../../../src/lib/time.js'
import {
  makeSession,
  NOW,
  readFeed,
  REALM,
  sortEntries,
  touchOf
} from '../../../src/stores/conformance/harness.js'
import { databases } from '../../helpers/databases/index.js'
import { similarIds, strings, unstorable } from './data-strings.js'

const createCaller = (value: string): Caller => ({ address: value, userAgent: value })

/** Creates a session with the same value in every string property except `id`. */
function createUniformSession (id: string, value: string): Session {
  return makeSession({
    id,
    realm: value,
    userId: value,
    secretHash: value,
    rotatedBy: createCaller(value),
    device: { label: value, ...createCaller(value) }
  })
}

function planAttempt (
  { id: sessionId, realm, userId, secretHash, generation }: Session,
  now: Millis,
  value = ''
): RotationAttempt {
  return planRotation({ realm, sessionId, userId, secretHash, generation }, {
    now,
    lifetime: 7 * DAY,
    grace: 0,
    by: createCaller(value)
  })
}

/** Checks that every method returns the session unchanged. */
async function assertUnchanged (
  t: Test,
  store: TokenStore,
  session: Session,
  value: string
): Promise<void> {
  await store.create(session)
  t.strictSame(await store.find(session.realm, session.id), session, 'find')
  t.strictSame(
    await store.list(session.realm, session.userId, { now: NOW, limit: 9 }),
    [session],
    'list'
  )
  const attempt = planAttempt(session, NOW + 1, value)
  const rotated = applyRotation(session, attempt)
  t.strictSame(await store.rotate(attempt), { swapped: true, session: rotated }, 'rotate')
  t.strictSame(
    await store.rotate(attempt),
    { swapped: false, session: rotated },
    'repeated rotate'
  )
  t.strictSame(
    await store.list(session.realm, session.userId, { now: NOW, limit: 9 }),
    [rotated],
    'list after rotate'
  )
}

/** Returns the entries without repetitions, which a feed may contain. */
function distinct (entries: readonly Revocation[]): Revocation[] {
  return [...new Map(entries.map(entry => [JSON.stringify(entry), entry])).values()]
}

/** Returns whether the call succeeded. A failure must be a RangeError. */
async function isAccepted (t: Test, work: Promise<unknown>): Promise<boolean> {
  return work.then(() => true, (error: unknown) => {
    t.type(error, RangeError)
    return false
  })
}

for (const [name, { open, skip = false, longestId = Infinity }] of Object.entries(databases)) {
  t.test(name, { skip }, async t => {
    const store = rejectUnstorableStrings((await open(t)).store)
    let created = 0
    const newId = (): string => `s${++created}`

    await t.test('strings are returned unchanged from every property', async t => {
      for (const [kind, value] of Object.entries(strings)) {
        await t.test(kind, async t => {
          await assertUnchanged(t, store, createUniformSession(newId(), value), value)
          await assertUnchanged(t, store, makeSession({ id: `s${value}`, userId: newId() }), value)
          const { cursor } = await readFeed(store)
          const ended = { realm: REALM, sessionId: `s${value}` }
          t.equal(await store.revoke(ended, { at: NOW + created, reason: 'revoked' }), 1)
          const user = { realm: value, userId: value, keep: `k${value}` }
          t.equal(await store.revoke(user, { at: NOW, reason: 'revoked' }), 1)
          await store.revoke({ realm: value }, { at: NOW - 1, reason: 'logout-all' })
          const { entries } = await readFeed(store, cursor)
          const { userId } = await store.find(REALM, `s${value}`) as Session
          t.strictSame(
            sortEntries(distinct(entries)),
            sortEntries([
              {
                realm: REALM,
                at: NOW + created,
                reason: 'revoked',
                sessionId: `s${value}`,
                userId
              },
              { ...user, at: NOW, reason: 'revoked', before: NOW },
              { realm: value, at: NOW - 1, reason: 'logout-all', before: NOW - 1 }
            ])
          )
          await t.rejects(
            store.create(makeSession({ id: newId(), realm: value, userId: value })),
            new SessionRefusedError({ before: NOW })
          )
          const kept = makeSession({ id: `k${value}`, realm: value, userId: value })
          await store.create(kept)
          t.strictSame(await store.find(value, kept.id), kept, 'the kept session')
        })
      }
    })

    await t.test('null, an empty string and the string null are distinct', async t => {
      for (const value of [null, '', 'null']) {
        const caller = { address: value, userAgent: value }
        await assertUnchanged(
          t,
          store,
          makeSession({
            id: newId(),
            userId: newId(),
            rotatedBy: caller,
            device: { label: value, ...caller }
          }),
          ''
        )
      }
    })

    await t.test('strings of 512 characters with 4 bytes each are returned unchanged', async t => {
      const value = String.fromCodePoint(
        ...Array.from({ length: 512 }, (_, i) => 0x20000 + i * 83)
      )
      // Indexes contain the realm and the user ID, and the plugin gives short realms.
      const session = { ...createUniformSession(newId(), value), realm: REALM }
      const isTooLong = Buffer.byteLength(value) > longestId

      if (isTooLong) {
        await t.rejects(store.create(session), RangeError, 'ids have a lower limit')
      }

      const { id, userId, secretHash } = makeSession({ id: newId(), userId: newId() })
      await assertUnchanged(
        t,
        store,
        isTooLong ? { ...session, id, userId, secretHash } : session,
        value
      )
    })

    await t.test('users with similar ids have separate sessions', async t => {
      for (const ids of similarIds) {
        await store.sweep({ endedBefore: NOW + 90 * DAY, limit: 10_000 })
        const sessions = ids.map(userId => makeSession({ id: newId(), userId }))

        for (const session of sessions) {
          await store.create(session)
        }

        for (const session of sessions) {
          t.strictSame(
            await store.list(session.realm, session.userId, { now: NOW, limit: 99 }),
            [session],
            `"${session.userId}" is listed alone`
          )
        }

        const [first, ...others] = sessions as [Session, ...Session[]]
        t.equal(
          await store.revoke({ realm: REALM, userId: first.userId }, {
            at: NOW,
            reason: 'revoked'
          }),
          1,
          `"${first.userId}" is revoked alone`
        )

        for (const { userId } of others) {
          await store.create(makeSession({ id: newId(), userId }))
        }

        for (const { id, userId } of others) {
          t.equal((await store.list(REALM, userId, { now: NOW, limit: 99 })).length, 2)
          t.equal(
            await store.revoke({ realm: REALM, userId, keep: id }, { at: NOW, reason: 'revoked' }),
            1,
            `"${userId}" is revoked alone`
          )
        }
      }
    })

    for (const [kind, [value, replacements]] of Object.entries(unstorable)) {
      await t.test(`${kind} is stored unchanged or rejected, and never replaced`, async t => {
        // A realm has letters, digits, `-` and `_` only.
        for (const property of ['id', 'userId', 'secretHash', 'label', 'address']) {
          const plain = makeSession({ id: newId(), userId: newId() })
          const session = property === 'label'
            ? { ...plain, device: { label: value, ...createCaller(value) } }
            : property === 'address'
            ? { ...plain, rotatedBy: createCaller(value) }
            : { ...plain, [property]: value + plain.id }

          if (await isAccepted(t, store.create(session))) {
            t.strictSame(await store.find(session.realm, session.id), session, property)
          } else {
            t.equal(
              await store.find(plain.realm, plain.id),
              null,
              `a rejected ${property} leaves no session`
            )
          }
        }

        const rotating = makeSession({ id: newId(), userId: newId() })
        await store.create(rotating)
        const attempt = planAttempt(rotating, NOW + 1, value)
        const expected = await isAccepted(t, store.rotate(attempt))
          ? applyRotation(rotating, attempt)
          : rotating
        t.strictSame(await store.find(rotating.realm, rotating.id), expected, 'rotated by')

        const replacementIds = replacements.map(replacement => `${created}${replacement}`)
        const sessions = replacementIds.map(id => makeSession({ id, userId: id }))

        for (const session of sessions) {
          await store.create(session)
        }

        const unstorableId = `${created}${value}`
        t.equal(await store.find(REALM, unstorableId), null, 'find')
        t.strictSame(await store.list(REALM, unstorableId, { now: NOW, limit: 9 }), [], 'list')
        t.equal(
          await store.revoke({ realm: REALM, sessionId: unstorableId }, {
            at: NOW,
            reason: 'revoked'
          }),
          0,
          'revoke'
        )
        await store.touch([
          touchOf({ ...rotating, id: unstorableId }, { lastUsedAt: NOW + 5 })
        ])
        const unknown = await store.rotate(planAttempt({ ...rotating, id: unstorableId }, NOW + 1))
        t.strictSame(unknown, { swapped: false, session: null }, 'rotate')
        await isAccepted(
          t,
          store.revoke({ realm: REALM, userId: unstorableId }, { at: NOW + 1, reason: 'revoked' })
        )

        for (const session of sessions) {
          t.strictSame(
            await store.find(session.realm, session.id),
            session,
            'the session of the replacement'
          )
          await store.create(makeSession({ id: newId(), userId: session.userId }))
        }
      })
    }

    await t.test('the latest times and high generations are returned unchanged', async t => {
      const lastDate = 8.64e15

      for (
        const end of [
          0,
          2 ** 31 - 1,
          2 ** 31,
          2 ** 32,
          (2 ** 31 - 1) * 1000,
          2 ** 31 * 1000,
          2 ** 32 * 1000,
          lastDate
        ]
      ) {
        // All times differ, so that a store that mixes up two of them fails.
        const start = Math.max(0, end - 9)
        const session = makeSession({
          id: newId(),
          userId: newId(),
          generation: 2 ** 31 - 2,
          confirmedGeneration: 2 ** 31 - 3,
          createdAt: start + 1,
          authenticatedAt: start,
          rotatedAt: start + 2,
          graceFrom: start + 4,
          lastUsedAt: start + 3,
          expiresAt: start + 8,
          endsAt: start + 9
        })
        await store.create(session)
        t.strictSame(await store.find(session.realm, session.id), session, `until ${end}`)
        const attempt = planAttempt(session, start + 5)
        const rotated = applyRotation(session, attempt)
        t.strictSame(await store.rotate(attempt), { swapped: true, session: rotated })
        const replayRun = { generation: 2 ** 31 - 1, length: 2 ** 31 - 2 }
        await store.touch([
          touchOf(rotated, {
            lastUsedAt: start + 6,
            confirmedGeneration: 2 ** 31,
            graceFrom: start + 7,
            replayRun
          })
        ])
        const touched = {
          ...rotated,
          lastUsedAt: start + 6,
          confirmedGeneration: 2 ** 31 - 1,
          graceFrom: start + 7,
          replayRun
        }
        t.strictSame(await store.find(session.realm, session.id), touched)
        t.strictSame(
          await store.list(session.realm, session.userId, { now: start + 8, limit: 9 }),
          [touched]
        )
        t.strictSame(
          await store.list(session.realm, session.userId, { now: start + 9, limit: 9 }),
          []
        )
        const user = { realm: session.realm, userId: session.userId }
        const { cursor } = await readFeed(store)
        await store.revoke(user, { at: start + 7, reason: 'logout-all' })
        const { entries } = await readFeed(store, cursor)
        t.strictSame(distinct(entries), [
          { ...user, at: start + 7, reason: 'logout-all', before: start + 7 }
        ])
        t.strictSame(await store.find(session.realm, session.id), {
          ...touched,
          revokedAt: start + 7,
          revokedFor: 'logout-all'
        })
        await t.rejects(
          store.create({ ...session, id: newId(), authenticatedAt: start + 7 }),
          new SessionRefusedError({ before: start + 7 })
        )
        await store.create({ ...session, id: newId(), authenticatedAt: start + 8 })
        await store.sweep({ endedBefore: start + 9, limit: 10_000 })
        t.not(await store.find(session.realm, session.id), null, 'the session has not ended yet')
        await store.sweep({ endedBefore: start + 10, limit: 10_000 })
        t.equal(await store.find(session.realm, session.id), null)
      }
    })
  })
}
