import t from 'tap'
import type { Test } from 'tap'
import { applyRotation, planRotation } from '../../../src/domain/rotation.js'
import type { RotationAttempt } from '../../../src/domain/rotation.js'
import { rejectUnstorableStrings } from '../../../src/stores/guarded-store.js'
import { SessionRefusedError } from '../../../src/stores/token-store.js'
import type { Caller, Session, TokenStore } from '../../../src/stores/token-store.js'
import type { Millis } from '../../../src/lib/time.js'
import { DAY } from '../../../src/lib/time.js'
import { makeSession, NOW } from '../../../src/stores/conformance/harness.js'
import { databases } from '../../helpers/databases/index.js'

const strings: Record<string, string> = {
  'emoji of several code points': '👩🏽‍👩‍👧‍👦 🏴󠁧󠁢󠁳󠁣󠁴󠁿 ❤️',
  'characters of 4 bytes': '𠜎𝒳🦊\u{10ffff}',
  quotes: '\'"`\'\'""$$$1$tag$',
  backslashes: '\\ \\\\ \\n \\x00 \\u0041 \\\'; --',
  patterns: '%_*?[a-z]^',
  'braces of arrays and hash tags': '{a,b} {"a",NULL} }{',
  'the string NULL': 'NULL',
  'a number': '007',
  JSON: '{"id":"x","userId":null}',
  'line breaks and tabs': 'a\nb\r\nc\td\u2028e',
  'control characters': '\u0001\u001f\u007f\u0085',
  'right to left': 'שלום مرحبا \u202eabc\u202c',
  'combining sequences': 'e\u0301 a\u0308\u0323 \u1100\u1161 \u212b',
  noncharacters: '\ufeffa\ufffe\uffff\ufffd',
  'only spaces': ' \u00a0\u3000 '
}

/** Ids that a collation, driver or encoding can treat as equal. */
const similarIds: readonly string[][] = [
  ['ann', 'Ann', 'ANN', 'ann ', ' ann', 'ann\t', 'ann\n', 'ａｎｎ', 'ann\u200b', 'ann\u00ad'],
  ['é', 'e\u0301', 'e', 'É'],
  ['ß', 'ss', 'ẞ'],
  ['i', 'I', 'İ', 'ı'],
  ['1', '01', '1.0', '1e0', '+1'],
  ['null', 'NULL', '', '\\N', '""', '{}'],
  ['a\\', 'a\\\\', 'a%', 'a_', 'a*'],
  ['🦊', '🐺', '\ufffd', '?', '????']
]

/**
 * Strings that some databases cannot store, and strings that could replace them.
 *
 * A silent replacement could turn an id into the id of another user.
 */
const unstorable: Record<string, readonly [value: string, replacements: readonly string[]]> = {
  'an inner NUL': ['a\0b', ['a', 'ab', 'a\\0b']],
  'a trailing NUL': ['a\0', ['a']],
  'a single NUL': ['\0', ['']],
  'a lone high surrogate': ['fox \ud83e', ['fox \ufffd', 'fox ', 'fox ?']],
  'a lone low surrogate': ['\udd8a', ['\ufffd', '', '?']],
  'surrogates in the wrong order': ['\udd8a\ud83e', ['\ufffd\ufffd', '🦊']]
}

const createCaller = (value: string): Caller => ({ address: value, userAgent: value })

/** Creates a session with the same value in every string property except `id`. */
function createUniformSession (id: string, value: string): Session {
  return makeSession(id, {
    userId: value,
    secretHash: value,
    rotatedBy: createCaller(value),
    device: { label: value, ...createCaller(value) }
  })
}

function planAttempt (
  { id: sessionId, secretHash, generation }: Session,
  now: Millis,
  value = ''
): RotationAttempt {
  return planRotation({ sessionId, secretHash, generation }, {
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
  t.strictSame(await store.find(session.id), session, 'find')
  t.strictSame(await store.list(session.userId, { now: NOW, limit: 9 }), [session], 'list')
  const attempt = planAttempt(session, NOW + 1, value)
  const rotated = applyRotation(session, attempt)
  t.strictSame(await store.rotate(attempt), { swapped: true, session: rotated }, 'rotate')
  t.strictSame(
    await store.rotate(attempt),
    { swapped: false, session: rotated },
    'repeated rotate'
  )
  t.strictSame(
    await store.list(session.userId, { now: NOW, limit: 9 }),
    [rotated],
    'list after rotate'
  )
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
          await assertUnchanged(t, store, makeSession(`s${value}`, { userId: newId() }), value)
          t.equal(
            await store.revoke({ sessionId: `s${value}` }, {
              at: NOW + created,
              reason: 'revoked'
            }),
            1
          )
          t.strictSame(await store.revocations({ at: NOW + created, sessionId: '' }, 9), [{
            at: NOW + created,
            sessionId: `s${value}`
          }])
          t.equal(await store.revoke({ userId: value }, { at: NOW, reason: 'revoked' }), 1)
          await t.rejects(
            store.create(makeSession(newId(), { userId: value })),
            new SessionRefusedError('revoked-since')
          )
        })
      }
    })

    await t.test('null, an empty string and the string null are distinct', async t => {
      for (const value of [null, '', 'null']) {
        const caller = { address: value, userAgent: value }
        await assertUnchanged(
          t,
          store,
          makeSession(newId(), {
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
      const session = createUniformSession(newId(), value)
      const isTooLong = Buffer.byteLength(value) > longestId

      if (isTooLong) {
        await t.rejects(store.create(session), RangeError, 'ids have a lower limit')
      }

      const { id, userId, secretHash } = makeSession(newId(), { userId: newId() })
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
        const sessions = ids.map(userId => makeSession(newId(), { userId }))

        for (const session of sessions) {
          await store.create(session)
        }

        for (const session of sessions) {
          t.strictSame(
            await store.list(session.userId, { now: NOW, limit: 99 }),
            [session],
            `"${session.userId}" is listed alone`
          )
        }

        const [first, ...others] = sessions as [Session, ...Session[]]
        t.equal(
          await store.revoke({ userId: first.userId }, { at: NOW, reason: 'revoked' }),
          1,
          `"${first.userId}" is revoked alone`
        )

        for (const { userId } of others) {
          await store.create(makeSession(newId(), { userId }))
        }

        for (const { id, userId } of others) {
          t.equal((await store.list(userId, { now: NOW, limit: 99 })).length, 2)
          t.equal(
            await store.revoke({ userId, keep: id }, { at: NOW, reason: 'revoked' }),
            1,
            `"${userId}" is revoked alone`
          )
        }
      }
    })

    for (const [kind, [value, replacements]] of Object.entries(unstorable)) {
      await t.test(`${kind} is stored unchanged or rejected, and never replaced`, async t => {
        for (const property of ['id', 'userId', 'secretHash', 'label', 'address']) {
          const plain = makeSession(newId(), { userId: newId() })
          const session = property === 'label'
            ? { ...plain, device: { label: value, ...createCaller(value) } }
            : property === 'address'
            ? { ...plain, rotatedBy: createCaller(value) }
            : { ...plain, [property]: value + plain.id }

          if (await isAccepted(t, store.create(session))) {
            t.strictSame(await store.find(session.id), session, property)
          } else {
            t.equal(
              await store.find(plain.id),
              null,
              `a rejected ${property} leaves no session`
            )
          }
        }

        const rotating = makeSession(newId(), { userId: newId() })
        await store.create(rotating)
        const attempt = planAttempt(rotating, NOW + 1, value)
        const expected = await isAccepted(t, store.rotate(attempt))
          ? applyRotation(rotating, attempt)
          : rotating
        t.strictSame(await store.find(rotating.id), expected, 'rotated by')

        const replacementIds = replacements.map(replacement => `${created}${replacement}`)
        const sessions = replacementIds.map(id => makeSession(id, { userId: id }))

        for (const session of sessions) {
          await store.create(session)
        }

        const unstorableId = `${created}${value}`
        t.equal(await store.find(unstorableId), null, 'find')
        t.strictSame(await store.list(unstorableId, { now: NOW, limit: 9 }), [], 'list')
        t.equal(
          await store.revoke({ sessionId: unstorableId }, { at: NOW, reason: 'revoked' }),
          0,
          'revoke'
        )
        await store.touch([{
          sessionId: unstorableId,
          lastUsedAt: NOW + 5,
          confirmedGeneration: 0
        }])
        const unknown = await store.rotate(planAttempt({ ...rotating, id: unstorableId }, NOW + 1))
        t.strictSame(unknown, { swapped: false, session: null }, 'rotate')
        await isAccepted(
          t,
          store.revoke({ userId: unstorableId }, { at: NOW + 1, reason: 'revoked' })
        )

        for (const session of sessions) {
          t.strictSame(await store.find(session.id), session, 'the session of the replacement')
          await store.create(makeSession(newId(), { userId: session.userId }))
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
        const session = makeSession(newId(), {
          userId: newId(),
          generation: 2 ** 31 - 2,
          confirmedGeneration: 2 ** 31 - 3,
          createdAt: start,
          authenticatedAt: start + 1,
          rotatedAt: start + 2,
          lastUsedAt: start + 3,
          expiresAt: start + 8,
          endsAt: start + 9
        })
        await store.create(session)
        t.strictSame(await store.find(session.id), session, `until ${end}`)
        const attempt = planAttempt(session, start + 5)
        const rotated = applyRotation(session, attempt)
        t.strictSame(await store.rotate(attempt), { swapped: true, session: rotated })
        await store.touch([{
          sessionId: session.id,
          lastUsedAt: start + 6,
          confirmedGeneration: 2 ** 31
        }])
        const touched = { ...rotated, lastUsedAt: start + 6, confirmedGeneration: 2 ** 31 - 1 }
        t.strictSame(await store.find(session.id), touched)
        t.strictSame(await store.list(session.userId, { now: start + 8, limit: 9 }), [touched])
        t.strictSame(await store.list(session.userId, { now: start + 9, limit: 9 }), [])
        await store.revoke({ userId: session.userId }, { at: start + 7, reason: 'logout-all' })
        const [revocation] = await store.revocations({ at: start + 6, sessionId: '~' }, 1)
        t.strictSame(revocation, { at: start + 7, sessionId: session.id })
        t.strictSame(await store.find(session.id), {
          ...touched,
          revokedAt: start + 7,
          revokedFor: 'logout-all'
        })
        await t.rejects(
          store.create({ ...session, id: newId(), authenticatedAt: start + 7 }),
          SessionRefusedError
        )
        await store.create({ ...session, id: newId(), authenticatedAt: start + 8 })
        await store.sweep({ endedBefore: start + 9, limit: 10_000 })
        t.not(await store.find(session.id), null, 'the session has not ended yet')
        await store.sweep({ endedBefore: start + 10, limit: 10_000 })
        t.equal(await store.find(session.id), null)
      }
    })
  })
}
