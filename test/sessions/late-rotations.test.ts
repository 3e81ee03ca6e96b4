import t from 'tap'
import type { RotationOutcome } from '../../src/domain/rotation.js'
import type { Session } from '../../src/domain/session.js'
import { StoreClock } from '../../src/revocations/store-clock.js'
import { createGraceTouch, extendGraceOfLateRotations } from '../../src/sessions/late-rotations.js'
import { attemptAt, GRACE, makeSession, NOW } from '../../src/stores/conformance/harness.js'
import { guardStore } from '../../src/stores/guarded-store.js'
import { MemoryStore } from '../../src/stores/memory/index.js'
import type { RotateOptions, TokenStore, Touch } from '../../src/stores/token-store.js'
import { createClock, SECOND } from '../helpers/clock.js'
import { createDeferred, createTestGuard, getRejection, nextTurn } from '../stores/guard-helpers.js'

const LATE = GRACE / 4

/** A store that is slow, and a session in it. */
async function createWorld () {
  const clock = createClock(NOW)
  const memory = new MemoryStore({ clock })
  const session = makeSession({ createdAt: NOW - SECOND })
  await memory.create(session)
  const touches: Touch[][] = []
  const time = new StoreClock({ wall: clock, monotonic: () => clock() - 777 }, () => {})
  time.addSample({ sentAt: clock() - 777, receivedAt: clock() - 777, now: clock() })

  let wait = async (): Promise<void> => {}

  const overrides: Pick<TokenStore, 'rotate' | 'touch'> = {
    async rotate (attempt) {
      const outcome = await memory.rotate(attempt)
      await wait()
      return outcome
    },
    async touch (batch) {
      touches.push([...batch])
      await memory.touch(batch)
    }
  }
  const slow: TokenStore = new Proxy(memory, {
    get: (target, name) =>
      Reflect.get(overrides, name) ??
        (Reflect.get(target, name) as () => unknown).bind(target)
  })

  return {
    clock,
    time,
    memory,
    session,
    touches,
    slow,
    overrides,
    store: extendGraceOfLateRotations(slow, time, GRACE),
    setWait (work: () => Promise<void>) {
      wait = work
    },
    setDelay (delay: number) {
      wait = async () => {
        clock.advance(delay)
      }
    }
  }
}

t.test('a response within a quarter of the grace period changes nothing', async t => {
  for (const delay of [0, SECOND, LATE]) {
    const { store, session, memory, touches, setDelay } = await createWorld()
    setDelay(delay)
    const { swapped, session: row } = await store.rotate(attemptAt(session, NOW))
    t.equal(swapped, true)
    t.equal(row?.graceFrom, NOW)
    t.strictSame(touches, [])
    t.strictSame(await memory.find(session.realm, session.id), row)
  }
})

t.test('a later response moves the start of the grace period to now', async t => {
  for (const delay of [LATE + 1, GRACE, 3 * GRACE]) {
    const { store, session, memory, touches, setDelay } = await createWorld()
    setDelay(delay)
    const { swapped, session: row } = await store.rotate(attemptAt(session, NOW))
    t.equal(swapped, true)
    t.equal(row?.graceFrom, NOW + delay)
    t.strictSame(touches, [[createGraceTouch(row as Session, 1, NOW + delay)]])
    t.strictSame(await memory.find(session.realm, session.id), row, 'the response shows the row')
  }
})

t.test('a grace period of 0 is never extended', async t => {
  const { slow, time, session, touches, setDelay } = await createWorld()
  setDelay(SECOND)
  const store = extendGraceOfLateRotations(slow, time, 0)
  t.equal((await store.rotate(attemptAt(session, NOW))).swapped, true)
  t.strictSame(touches, [])
})

t.test('the start of the grace period never moves back', async t => {
  const { store, session, memory, setDelay } = await createWorld()
  const ahead = { ...session, id: `${session.id.slice(0, -1)}x`, graceFrom: NOW + 5 * GRACE }
  await memory.create(ahead)
  setDelay(GRACE)
  const attempt = attemptAt(ahead, NOW, { graceAfter: NOW + GRACE })
  const { session: row } = await store.rotate(attempt)
  t.equal(row?.graceFrom, NOW + 5 * GRACE)
})

t.test('an attempt that did not rotate extends nothing', async t => {
  const { store, session, memory, touches, setDelay } = await createWorld()
  await memory.rotate(attemptAt(session, NOW))
  setDelay(GRACE)
  const { swapped, session: row } = await store.rotate(attemptAt(session, NOW))
  t.equal(swapped, false)
  t.equal(row?.graceFrom, NOW)
  await store.rotate(attemptAt({ ...session, id: 'unknown' }, NOW))
  t.strictSame(touches, [])
})

t.test('the duration is measured by the monotonic clock, not by store time', async t => {
  const { store, session, time, touches, clock, setWait } = await createWorld()
  setWait(async () => {
    const at = clock() - 777
    time.addSample({ sentAt: at, receivedAt: at, now: clock() + 100 * GRACE })
  })
  await store.rotate(attemptAt(session, NOW))
  t.strictSame(touches, [], 'store time has stepped, but the response was fast')
})

t.test('the response waits for the write, and fails with it', async t => {
  const { store, session, overrides, setDelay } = await createWorld()
  const { promise, reject } = createDeferred<undefined>()
  let isSettled = false

  overrides.touch = async () => {
    await promise
  }

  setDelay(GRACE)
  const failure = getRejection(store.rotate(attemptAt(session, NOW))).finally(() => {
    isSettled = true
  })
  await nextTurn()
  t.equal(isSettled, false)
  reject(new Error('no connection'))
  t.match(await failure, { message: 'no connection' })
})

t.test('the grace period is extended also after the caller has given up', async t => {
  const { time, slow, session, memory, clock, setWait } = await createWorld()
  const { promise, resolve } = createDeferred<undefined>()
  setWait(async () => {
    await promise
  })
  const extended = extendGraceOfLateRotations(slow, time, GRACE)
  const store = guardStore(extended, createTestGuard(1).guard)
  t.match(await getRejection(store.rotate(attemptAt(session, NOW))), {
    code: 'AUTH_STORE_UNAVAILABLE'
  })
  clock.advance(2 * GRACE)
  resolve(undefined)
  await nextTurn()
  t.match(await memory.find(session.realm, session.id), {
    generation: 1,
    graceFrom: NOW + 2 * GRACE
  })
})

t.test('the touch moves nothing if the row has rotated again meanwhile', async t => {
  const { store, session, memory, clock, setWait } = await createWorld()
  setWait(async () => {
    clock.advance(2 * GRACE)
    await memory.rotate(attemptAt({ ...session, generation: 1 }, clock()))
    clock.advance(GRACE)
  })
  await store.rotate(attemptAt(session, NOW))
  t.match(await memory.find(session.realm, session.id), {
    generation: 2,
    graceFrom: NOW + 2 * GRACE
  })
})

t.test('an attempt passes the options of its caller on', async t => {
  const { store, session, overrides } = await createWorld()
  const options = { signal: new AbortController().signal }
  let given: RotateOptions | undefined

  overrides.rotate = async (_, passed): Promise<RotationOutcome> => {
    given = passed
    return { swapped: false, session: null }
  }

  await store.rotate(attemptAt(session, NOW), options)
  t.equal(given, options)
})

t.test('all other methods pass to the store', async t => {
  const { store, session, memory } = await createWorld()
  const other = makeSession({ createdAt: NOW })
  await store.create(other)
  t.strictSame(await store.find(other.realm, other.id), other)
  t.equal((await store.list(other.realm, other.userId, { now: NOW, limit: 9 })).length, 2)
  await store.touch([createGraceTouch(session, 0, NOW + 5)])
  t.match(await memory.find(session.realm, session.id), { graceFrom: NOW + 5 })
  const target = { realm: other.realm, userId: other.userId }
  t.equal(await store.revoke(target, { at: NOW, reason: 'revoked' }), 2)
  t.equal((await store.revocations({ within: GRACE }, 9)).entries.length, 1)
  t.equal(await store.sweep({ endedBefore: session.endsAt + 1, limit: 99 }), 4)
})
