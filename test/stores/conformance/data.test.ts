// What apps keep in sessions comes back from every store as it went in, whatever its alphabet,
// length or century, and users whose ids look alike to a database stay apart. What not every store
// can hold is refused with a RangeError before it: changed silently, it may become the id of
// somebody else.

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

const texts: Record<string, string> = {
  'emoji of several parts': '👩🏽‍👩‍👧‍👦 🏴󠁧󠁢󠁳󠁣󠁴󠁿 ❤️',
  'characters of 4 bytes': '𠜎𝒳🦊\u{10ffff}',
  quotes: '\'"`\'\'""$$$1$tag$',
  backslashes: '\\ \\\\ \\n \\x00 \\u0041 \\\'; --',
  patterns: '%_*?[a-z]^',
  'braces, as arrays and hash tags have them': '{a,b} {"a",NULL} }{',
  'NULL as text': 'NULL',
  'a number': '007',
  JSON: '{"id":"x","userId":null}',
  'line ends and tabs': 'a\nb\r\nc\td\u2028e',
  'control characters': '\u0001\u001f\u007f\u0085',
  'right to left': 'שלום مرحبا \u202eabc\u202c',
  'combining sequences': 'e\u0301 a\u0308\u0323 \u1100\u1161 \u212b',
  'not characters': '\ufeffa\ufffe\uffff\ufffd',
  'spaces alone': ' \u00a0\u3000 '
}

/** Ids that some collation, driver or encoding takes for one. */
const twins: readonly string[][] = [
  ['ann', 'Ann', 'ANN', 'ann ', ' ann', 'ann\t', 'ann\n', 'ａｎｎ', 'ann\u200b', 'ann\u00ad'],
  ['é', 'e\u0301', 'e', 'É'],
  ['ß', 'ss', 'ẞ'],
  ['i', 'I', 'İ', 'ı'],
  ['1', '01', '1.0', '1e0', '+1'],
  ['null', 'NULL', '', '\\N', '""', '{}'],
  ['a\\', 'a\\\\', 'a%', 'a_', 'a*'],
  ['🦊', '🐺', '\ufffd', '?', '????']
]

/** Texts that not every engine holds, and the texts that they become where nobody looks. */
const unholdable: Record<string, readonly [odd: string, others: readonly string[]]> = {
  'a NUL inside': ['a\0b', ['a', 'ab', 'a\\0b']],
  'a NUL at the end': ['a\0', ['a']],
  'a NUL alone': ['\0', ['']],
  'a lone high surrogate': ['fox \ud83e', ['fox \ufffd', 'fox ', 'fox ?']],
  'a lone low surrogate': ['\udd8a', ['\ufffd', '', '?']],
  'surrogates the wrong way round': ['\udd8a\ud83e', ['\ufffd\ufffd', '🦊']]
}

const by = (text: string): Caller => ({ address: text, userAgent: text })

/** A session of somebody whose every text this is. */
function sessionFull (id: string, text: string): Session {
  return makeSession(id, {
    userId: text,
    secretHash: text,
    rotatedBy: by(text),
    device: { label: text, ...by(text) }
  })
}

function attemptOn (
  { id: sessionId, secretHash, generation }: Session,
  now: Millis,
  text = ''
): RotationAttempt {
  return planRotation({ sessionId, secretHash, generation }, {
    now,
    lifetime: 7 * DAY,
    grace: 0,
    by: by(text)
  })
}

async function comesBack (
  t: Test,
  store: TokenStore,
  session: Session,
  text: string
): Promise<void> {
  await store.create(session)
  t.strictSame(await store.find(session.id), session, 'find')
  t.strictSame(await store.list(session.userId, { now: NOW, limit: 9 }), [session], 'list')
  const attempt = attemptOn(session, NOW + 1, text)
  const rotated = applyRotation(session, attempt)
  t.strictSame(await store.rotate(attempt), { swapped: true, session: rotated }, 'rotate')
  t.strictSame(
    await store.rotate(attempt),
    { swapped: false, session: rotated },
    'rotate once more'
  )
  t.strictSame(await store.list(session.userId, { now: NOW, limit: 9 }), [rotated], 'list after it')
}

/** Whether the store did it; not doing it must be a RangeError. */
async function isHeld (t: Test, work: Promise<unknown>): Promise<boolean> {
  return work.then(() => true, (error: unknown) => {
    t.type(error, RangeError)
    return false
  })
}

for (const [name, { open, skip = false, longestId = Infinity }] of Object.entries(databases)) {
  t.test(name, { skip }, async t => {
    const store = rejectUnstorableStrings((await open(t)).store)
    let made = 0
    const newId = (): string => `s${++made}`

    await t.test('texts of any sort, in every place that holds one', async t => {
      for (const [sort, text] of Object.entries(texts)) {
        await t.test(sort, async t => {
          await comesBack(t, store, sessionFull(newId(), text), text)
          await comesBack(t, store, makeSession(`s${text}`, { userId: newId() }), text)
          t.equal(
            await store.revoke({ sessionId: `s${text}` }, { at: NOW + made, reason: 'revoked' }),
            1
          )
          t.strictSame(await store.revocations({ at: NOW + made, sessionId: '' }, 9), [{
            at: NOW + made,
            sessionId: `s${text}`
          }])
          t.equal(await store.revoke({ userId: text }, { at: NOW, reason: 'revoked' }), 1)
          await t.rejects(
            store.create(makeSession(newId(), { userId: text })),
            new SessionRefusedError('revoked-since')
          )
        })
      }
    })

    await t.test('no text, an empty one and the word are three things', async t => {
      for (const text of [null, '', 'null']) {
        const caller = { address: text, userAgent: text }
        await comesBack(
          t,
          store,
          makeSession(newId(), {
            userId: newId(),
            rotatedBy: caller,
            device: { label: text, ...caller }
          }),
          ''
        )
      }
    })

    await t.test('512 characters of 4 bytes', async t => {
      const text = String.fromCodePoint(...Array.from({ length: 512 }, (_, i) => 0x20000 + i * 83))
      const full = sessionFull(newId(), text)
      const isRefused = Buffer.byteLength(text) > longestId

      if (isRefused) {
        await t.rejects(store.create(full), RangeError, 'ids are shorter here')
      }

      const { id, userId, secretHash } = makeSession(newId(), { userId: newId() })
      await comesBack(t, store, isRefused ? { ...full, id, userId, secretHash } : full, text)
    })

    await t.test('users whose ids look alike stay apart', async t => {
      for (const ids of twins) {
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

    for (const [sort, [odd, others]] of Object.entries(unholdable)) {
      await t.test(`${sort} comes back or is refused, and is nobody else`, async t => {
        for (const place of ['id', 'userId', 'secretHash', 'label', 'address']) {
          const plain = makeSession(newId(), { userId: newId() })
          const session = place === 'label'
            ? { ...plain, device: { label: odd, ...by(odd) } }
            : place === 'address'
            ? { ...plain, rotatedBy: by(odd) }
            : { ...plain, [place]: odd + plain.id }

          if (await isHeld(t, store.create(session))) {
            t.strictSame(await store.find(session.id), session, place)
          } else {
            t.equal(
              await store.find(plain.id),
              null,
              `nothing is left of a ${place} that is refused`
            )
          }
        }

        const rotating = makeSession(newId(), { userId: newId() })
        await store.create(rotating)
        const attempt = attemptOn(rotating, NOW + 1, odd)
        const left = await isHeld(t, store.rotate(attempt))
          ? applyRotation(rotating, attempt)
          : rotating
        t.strictSame(await store.find(rotating.id), left, 'rotated by')

        const ids = others.map(other => `${made}${other}`)
        const sessions = ids.map(id => makeSession(id, { userId: id }))

        for (const session of sessions) {
          await store.create(session)
        }

        const oddId = `${made}${odd}`
        t.equal(await store.find(oddId), null, 'find')
        t.strictSame(await store.list(oddId, { now: NOW, limit: 9 }), [], 'list')
        t.equal(
          await store.revoke({ sessionId: oddId }, { at: NOW, reason: 'revoked' }),
          0,
          'revoke'
        )
        await store.touch([{ sessionId: oddId, lastUsedAt: NOW + 5, confirmedGeneration: 0 }])
        const unknown = await store.rotate(attemptOn({ ...rotating, id: oddId }, NOW + 1))
        t.strictSame(unknown, { swapped: false, session: null }, 'rotate')
        await isHeld(t, store.revoke({ userId: oddId }, { at: NOW + 1, reason: 'revoked' }))

        for (const session of sessions) {
          t.strictSame(await store.find(session.id), session, 'the other is untouched')
          await store.create(makeSession(newId(), { userId: session.userId }))
        }
      })
    }

    await t.test('moments of any century, and great generations', async t => {
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
        // Every moment is another one, so that no two can be mistaken for each other.
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
        const attempt = attemptOn(session, start + 5)
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
        t.not(await store.find(session.id), null, 'it has just not ended')
        await store.sweep({ endedBefore: start + 10, limit: 10_000 })
        t.equal(await store.find(session.id), null)
      }
    })
  })
}
