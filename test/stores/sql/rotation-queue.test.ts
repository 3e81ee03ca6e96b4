import { deepEqual, equal, ok } from 'node:assert/strict'
import { mock } from 'node:test'
import fc from 'fast-check'
import t from 'tap'
import {
  applyRotation,
  canRotate,
  CLOCK_TOLERANCE,
  planRotation
} from '../../../src/domain/rotation.js'
import type { RotationAttempt, RotationOutcome } from '../../../src/domain/rotation.js'
import type { Session } from '../../../src/domain/session.js'
import { RotationQueue } from '../../../src/stores/sql/rotation-queue.js'
import type { RotateAll, RotationQueueOptions } from '../../../src/stores/sql/rotation-queue.js'
import { DAY, MINUTE, SECOND } from '../../helpers/clock.js'

const NOW = Date.UTC(2026, 0, 1)
const GRACE = 10 * SECOND
const BATCH = 500
const NOBODY = { address: null, userAgent: null }

function aSession (id: string, over: Partial<Session> = {}): Session {
  return {
    id,
    userId: 'u-ann',
    secretHash: 'hash',
    generation: 0,
    confirmedGeneration: 0,
    createdAt: NOW - MINUTE,
    authenticatedAt: NOW - MINUTE,
    rotatedAt: NOW - MINUTE,
    rotatedBy: NOBODY,
    lastUsedAt: NOW - MINUTE,
    expiresAt: NOW + DAY,
    endsAt: NOW + DAY,
    revokedAt: null,
    revokedFor: null,
    device: { label: null, ...NOBODY },
    ...over
  }
}

function anAttempt (
  sessionId: string,
  { generation = 0, secretHash = 'hash', now = NOW } = {}
): RotationAttempt {
  return planRotation({ sessionId, secretHash, generation }, {
    now,
    lifetime: DAY,
    grace: GRACE,
    by: NOBODY
  })
}

const swapped = ({ sessionId, generation, now }: RotationAttempt): RotationOutcome => ({
  swapped: true,
  session: aSession(sessionId, { generation: generation + 1, rotatedAt: now })
})

const numbered = (count: number): string[] =>
  Array.from({ length: count }, (_, index) => `s${index}`)

/** One call of `rotateAll`, under way until it is answered. */
interface Sent {
  readonly attempts: readonly RotationAttempt[]
  /** Every attempt is swapped, or has the outcome that is given. */
  answer(outcomes?: readonly RotationOutcome[]): Promise<void>
  fail(error: unknown): Promise<void>
}

interface Queued {
  readonly queue: RotationQueue
  readonly sent: Sent[]
  /** The sessions of each call so far. */
  sessions(): string[][]
}

const ABOUT_VALUES = new Error('a value that the database cannot take')
const NO_CONNECTION = new Error('no connection')

function aQueue (options: Pick<RotationQueueOptions, 'minBatchSize'> = {}): Queued {
  const sent: Sent[] = []
  const queue = new RotationQueue({
    ...options,
    isDataError: error => error === ABOUT_VALUES,
    rotateAll: attempts =>
      new Promise((resolve, reject) => {
        sent.push({
          attempts,
          async answer (outcomes = attempts.map(swapped)) {
            resolve([...outcomes])
            await turn()
          },
          async fail (error) {
            reject(error)
            await turn()
          }
        })
      })
  })

  return {
    queue,
    sent,
    sessions: () => sent.map(({ attempts }) => attempts.map(({ sessionId }) => sessionId))
  }
}

/** All that is due at the end of this turn of the event loop has been done. */
async function turn (): Promise<void> {
  for (let count = 0; count < 3; count++) {
    await new Promise(resolve => {
      setImmediate(resolve)
    })
  }
}

t.test('an idle queue sends at the end of the turn, all that came in it in one go', async t => {
  const { queue, sent, sessions } = aQueue()
  const outcomes = Promise.all(numbered(3).map(id => queue.rotate(anAttempt(id))))
  t.equal(sent.length, 0)
  await new Promise(resolve => {
    setImmediate(resolve)
  })
  t.strictSame(sessions(), [['s0', 's1', 's2']])
  await sent[0]?.answer()
  t.strictSame(await outcomes, numbered(3).map(id => swapped(anAttempt(id))))

  void queue.rotate(anAttempt('s3'))
  await turn()
  t.strictSame(sessions()[1], ['s3'], 'and so does the next one, when it is idle again')
})

t.test('while one batch is in flight the next one goes, and while two are the rest is gathered', async t => {
  const { queue, sent, sessions } = aQueue()
  const outcomes: Array<Promise<RotationOutcome>> = []

  for (const id of numbered(10)) {
    outcomes.push(queue.rotate(anAttempt(id)))
    await turn()
  }

  t.strictSame(sessions(), [['s0'], ['s1']])
  await sent[1]?.answer()
  t.strictSame(sessions().slice(2), [['s2', 's3', 's4', 's5', 's6', 's7', 's8', 's9']])
  outcomes.push(queue.rotate(anAttempt('s10')))
  await turn()
  t.equal(sent.length, 3, 'two are in flight again')
  await sent[0]?.answer()
  t.strictSame(sessions()[3], ['s10'])
  await sent[2]?.answer()
  await sent[3]?.answer()
  t.strictSame((await Promise.all(outcomes)).map(({ session }) => session?.id), numbered(11))
})

t.test('a batch holds at most 500, the rest goes in the next, in the order in which it came', async t => {
  const { queue, sent, sessions } = aQueue()
  const ids = numbered(2 * BATCH + 7)
  const outcomes = Promise.all(ids.map(id => queue.rotate(anAttempt(id))))
  await turn()
  t.strictSame(sessions(), [ids.slice(0, BATCH), ids.slice(BATCH, 2 * BATCH)])
  await sent[0]?.answer()
  t.strictSame(sessions()[2], ids.slice(2 * BATCH))
  await sent[2]?.answer()
  await sent[1]?.answer()
  t.strictSame((await outcomes).map(({ session }) => session?.id), ids)
})

t.test('fewer than are worth one go are sent side by side, and one that fails fails alone', async t => {
  const { queue, sent, sessions } = aQueue({ minBatchSize: 3 })
  const outcomes = Promise.allSettled(numbered(2).map(id => queue.rotate(anAttempt(id))))
  await turn()
  t.strictSame(sessions(), [['s0'], ['s1']])
  await sent[0]?.fail(NO_CONNECTION)
  await sent[1]?.answer()
  t.strictSame(await outcomes, [
    { status: 'rejected', reason: NO_CONNECTION },
    { status: 'fulfilled', value: swapped(anAttempt('s1')) }
  ])
  void Promise.all(numbered(3).map(id => queue.rotate(anAttempt(id))))
  await turn()
  t.strictSame(sessions().slice(2), [['s0', 's1', 's2']])
})

t.test('a batch without an answer gives up its place after 30 s, and whoever was in it hears so', async t => {
  mock.timers.enable({ apis: ['setTimeout', 'Date'] })
  t.teardown(() => mock.timers.reset())
  const { queue, sent, sessions } = aQueue()
  const swallowed: Array<Promise<unknown>> = []

  for (const id of ['s0', 's1']) {
    swallowed.push(
      t.rejects(queue.rotate(anAttempt(id)), { message: 'the database does not respond' }, id)
    )
    await turn()
    mock.timers.tick(5 * SECOND)
  }

  const next = queue.rotate(anAttempt('s2'))
  mock.timers.tick(20 * SECOND - 1)
  await turn()
  t.strictSame(sessions(), [['s0'], ['s1']])
  mock.timers.tick(1)
  await turn()
  await swallowed[0]
  t.strictSame(sessions().slice(2), [['s2']])
  await sent[2]?.answer()
  t.equal((await next).swapped, true)

  // What comes later still, is of no use to anybody.
  await sent[0]?.answer()
  mock.timers.tick(5 * SECOND)
  await turn()
  await swallowed[1]
  const again = queue.rotate(anAttempt('s0'))
  await turn()
  await sent[3]?.answer()
  t.equal((await again).swapped, true, 'its session may be asked for anew')
})

t.test('each attempt has the outcome at its own place', async t => {
  const { queue, sent } = aQueue()
  const outcomes = ['a', 'b', 'c'].map(id => queue.rotate(anAttempt(id)))
  await turn()
  const answers = [
    { swapped: false, session: aSession('a', { generation: 5 }) },
    { swapped: false, session: null },
    { swapped: true, session: aSession('c', { generation: 1 }) }
  ]
  await sent[0]?.answer(answers)
  t.strictSame(await Promise.all(outcomes), answers)
})

t.test('a session is never twice in one batch, nor in two batches at once', async t => {
  const { queue, sent, sessions } = aQueue()
  const wrongSecret = anAttempt('s1', { secretHash: 'other' })
  void queue.rotate(wrongSecret)
  void queue.rotate(anAttempt('s1'))
  void queue.rotate(anAttempt('s2'))
  await turn()
  void queue.rotate(anAttempt('s1'))
  void queue.rotate(anAttempt('s3'))
  await turn()
  t.strictSame(sessions(), [['s1', 's2'], ['s3']])
  await sent[1]?.answer()
  t.equal(sent.length, 2, 'a free place changes nothing')
  await sent[0]?.answer([{ swapped: false, session: aSession('s1') }, swapped(anAttempt('s2'))])
  t.strictSame(sessions().slice(2), [['s1']])
})

t.test('those who wait behind a winner are shown its row, and the database is not asked', async t => {
  const { queue, sent } = aQueue()
  const attempt = anAttempt('s1')
  const outcomes = Array.from({ length: 20 }, () => queue.rotate(attempt))
  await turn()
  await sent[0]?.answer()
  const winner = swapped(attempt)
  t.strictSame(await Promise.all(outcomes), [
    winner,
    ...Array(19).fill({ ...winner, swapped: false })
  ])
  t.equal(sent.length, 1)
})

t.test('those who wait behind are sent iff they fit the row that was shown', async t => {
  const row = aSession('s1', { generation: 3, rotatedAt: NOW - MINUTE })
  const attempts = [
    anAttempt('s1', { generation: 3 }),
    anAttempt('s1', { generation: 2 }),
    anAttempt('s1', { generation: 4 }),
    anAttempt('s1', { generation: 3, secretHash: 'other' }),
    anAttempt('s1', { generation: 3, now: NOW + DAY }),
    anAttempt('s1', { generation: 3, now: row.rotatedAt + GRACE - 1 }),
    anAttempt('s1', { generation: 3, now: row.rotatedAt + GRACE })
  ]
  t.strictSame(attempts.map(attempt => canRotate(row, attempt)), [
    true,
    false,
    false,
    false,
    false,
    false,
    true
  ])

  for (const attempt of attempts) {
    const { queue, sent } = aQueue()
    void queue.rotate(anAttempt('s1', { generation: 2 }))
    const outcome = queue.rotate(attempt)
    await turn()
    await sent[0]?.answer([{ swapped: true, session: row }])

    if (canRotate(row, attempt)) {
      t.strictSame(sent[1]?.attempts, [attempt])
      await sent[1]?.answer()
      t.strictSame(await outcome, swapped(attempt))
    } else {
      t.equal(sent.length, 1)
      t.strictSame(await outcome, { swapped: false, session: row })
    }
  }
})

t.test('of those who fit one goes at a time, and the others are judged by what it leaves', async t => {
  const { queue, sent } = aQueue()
  const loser = queue.rotate(anAttempt('s1', { secretHash: 'other' }))
  const outcomes = Array.from({ length: 5 }, () => queue.rotate(anAttempt('s1')))
  await turn()
  await sent[0]?.answer([{ swapped: false, session: aSession('s1') }])
  t.strictSame(await loser, { swapped: false, session: aSession('s1') })
  t.strictSame(sent[1]?.attempts, [anAttempt('s1')])
  await sent[1]?.answer()
  t.strictSame((await Promise.all(outcomes)).map(({ swapped }) => swapped), [
    true,
    false,
    false,
    false,
    false
  ])
  t.equal(sent.length, 2)
})

t.test('those who wait behind a revoked row are shown it', async t => {
  const { queue, sent } = aQueue()
  const outcomes = Promise.all([queue.rotate(anAttempt('s1')), queue.rotate(anAttempt('s1'))])
  await turn()
  const outcome = {
    swapped: false,
    session: aSession('s1', { revokedAt: NOW, revokedFor: 'logout' })
  }
  await sent[0]?.answer([outcome])
  t.strictSame(await outcomes, [outcome, outcome])
  t.equal(sent.length, 1)
})

t.test('where there is no row, those who wait behind hear so', async t => {
  const { queue, sent } = aQueue()
  const outcomes = Promise.all([queue.rotate(anAttempt('s1')), queue.rotate(anAttempt('s1'))])
  await turn()
  const nothing = { swapped: false, session: null }
  await sent[0]?.answer([nothing])
  t.strictSame(await outcomes, [nothing, nothing])
  t.equal(sent.length, 1)
})

t.test('an attempt that is made while its session is on its way is never shown a row from before it', async t => {
  const { queue, sent } = aQueue()
  void queue.rotate(anAttempt('s1'))
  await turn()
  const before = swapped(anAttempt('s1'))
  const revoked = aSession('s1', { ...before.session, revokedAt: NOW, revokedFor: 'logout' })
  // The database has answered, the answer is on its way, and another connection has ended the
  // session meanwhile.
  const late = queue.rotate(anAttempt('s1'))
  await sent[0]?.answer([before])
  t.equal(sent.length, 2, 'so the database is asked again')
  await sent[1]?.answer([{ swapped: false, session: revoked }])
  t.strictSame(await late, { swapped: false, session: revoked })
})

t.test('an error about values: the neighbours are tried one by one, and only the bad one rejects', async t => {
  const { queue, sent, sessions } = aQueue()
  const outcomes = ['a', 'bad', 'c'].map(id => queue.rotate(anAttempt(id)))
  const rejection = t.rejects(outcomes[1] as Promise<unknown>, ABOUT_VALUES)
  await turn()
  await sent[0]?.fail(ABOUT_VALUES)
  t.strictSame(sessions().slice(1), [['a']], 'one after the other')
  await sent[1]?.answer()
  await sent[2]?.fail(ABOUT_VALUES)
  await sent[3]?.answer()
  t.strictSame(sessions().slice(1), [['a'], ['bad'], ['c']])
  t.strictSame(await outcomes[0], swapped(anAttempt('a')))
  t.strictSame(await outcomes[2], swapped(anAttempt('c')))
  await rejection
})

t.test('while the neighbours are tried one by one, still no more than two calls are under way', async t => {
  const { queue, sent, sessions } = aQueue()
  const [a, b] = ['a', 'b'].map(id => queue.rotate(anAttempt(id)))
  await turn()
  await sent[0]?.fail(ABOUT_VALUES)
  void queue.rotate(anAttempt('c'))
  await turn()
  void queue.rotate(anAttempt('d'))
  void queue.rotate(anAttempt('b'))
  await turn()
  t.strictSame(sessions().slice(1), [['a'], ['c']])
  await sent[1]?.answer()
  t.strictSame(sessions().slice(3), [['b']])
  await sent[3]?.answer()
  await Promise.all([a, b])
  t.strictSame(sessions()[4]?.[0], 'd')
})

t.test('a single attempt with a bad value rejects without being tried twice', async t => {
  const { queue, sent } = aQueue()
  const rejection = t.rejects(queue.rotate(anAttempt('bad')), ABOUT_VALUES)
  await turn()
  await sent[0]?.fail(ABOUT_VALUES)
  await rejection
  t.equal(sent.length, 1)
})

t.test('another error rejects the whole batch at once, and later attempts work again', async t => {
  const { queue, sent } = aQueue()
  const rejections = numbered(3).map(id => t.rejects(queue.rotate(anAttempt(id)), NO_CONNECTION))
  await turn()
  await sent[0]?.fail(NO_CONNECTION)
  await Promise.all(rejections)
  t.equal(sent.length, 1)

  const outcome = queue.rotate(anAttempt('s0'))
  await turn()
  await sent[1]?.answer()
  t.strictSame(await outcome, swapped(anAttempt('s0')))
})

t.test('an error rejects none but those who were sent', async t => {
  const { queue, sent, sessions } = aQueue()
  const rejection = t.rejects(queue.rotate(anAttempt('s1')), NO_CONNECTION)
  const behind = queue.rotate(anAttempt('s1'))
  await turn()
  const beside = queue.rotate(anAttempt('s2'))
  await turn()
  await sent[0]?.fail(NO_CONNECTION)
  await rejection
  t.strictSame(sessions(), [['s1'], ['s2'], ['s1']])
  await sent[1]?.answer()
  await sent[2]?.answer()
  t.strictSame(await Promise.all([beside, behind]), [
    swapped(anAttempt('s2')),
    swapped(anAttempt('s1'))
  ])
})

t.test('a rotateAll that throws instead of rejecting is the same', async t => {
  const queue = new RotationQueue({
    rotateAll: () => {
      throw NO_CONNECTION
    },
    isDataError: () => false
  })

  for (let times = 0; times < 3; times++) {
    await t.rejects(queue.rotate(anAttempt('s1')), NO_CONNECTION)
  }
})

const stampedes: Record<string, (count: number) => string[]> = {
  'one session': count => Array<string>(count).fill('s1'),
  'different sessions': numbered
}

for (const [which, ids] of Object.entries(stampedes)) {
  t.test(`a stampede of 10,000 on ${which} is answered in order`, async t => {
    const { calls, outcomes } = await stampede(ids(10_000))
    t.strictSame(outcomes.map(({ session }) => session?.id), ids(10_000))
    const distinct = new Set(ids(10_000)).size
    t.equal(outcomes.filter(({ swapped }) => swapped).length, distinct)
    t.equal(calls, Math.ceil(distinct / BATCH))
  })

  t.test(`in a stampede on ${which} each attempt is looked at a few times, and not for each of the others`, async t => {
    let looks = 0
    const { outcomes } = await stampede(ids(16_000), attempt => ({
      ...attempt,
      get sessionId () {
        looks++
        return attempt.sessionId
      }
    }))
    t.ok(looks / outcomes.length < 100, `${looks / outcomes.length} times`)
  })
}

/** All at once, onto a database that answers at once. */
async function stampede (
  ids: readonly string[],
  prepare = (attempt: RotationAttempt): RotationAttempt => attempt
): Promise<{ calls: number, outcomes: RotationOutcome[] }> {
  let calls = 0
  const queue = new RotationQueue({
    isDataError: () => false,
    rotateAll: async attempts => {
      calls++
      return attempts.map(swapped)
    }
  })
  return { outcomes: await Promise.all(ids.map(id => queue.rotate(prepare(anAttempt(id))))), calls }
}

// Random attempts, on a model of a database: batches are carried out at one moment, and answered at
// a later one. Every row that ever stood is remembered with the time that it did, so that each
// outcome can be given its place in one sequence of all.

type Step =
  // A generation is named by its distance from the current one.
  | {
    readonly do: 'attempt'
    readonly session: number
    readonly ahead: number
    readonly forged: boolean
  }
  | { readonly do: 'carry out' | 'answer', readonly which: number }
  // By another instance, or by another verb of the store.
  | { readonly do: 'revoke' | 'rotate elsewhere', readonly session: number }
  | { readonly do: 'wait', readonly seconds: number }
  | { readonly do: 'turn' }

const SESSIONS = ['s0', 's1', 's2', 'gone']

interface Version {
  readonly row: Session | null
  readonly from: number
  readonly by: RotationAttempt | null
}

interface Made {
  readonly attempt: RotationAttempt
  readonly at: number
  answered: { readonly at: number, readonly outcome: RotationOutcome } | null
}

class World {
  readonly made: Made[] = []
  readonly #history = new Map<string, Version[]>()
  readonly #toCarryOut: Array<() => void> = []
  readonly #toAnswer: Array<() => void> = []
  readonly #queue: RotationQueue
  #now = NOW
  #moment = 0

  constructor (createQueue: (rotateAll: RotateAll) => RotationQueue) {
    for (const id of SESSIONS) {
      this.#history.set(id, [{ row: id === 'gone' ? null : aSession(id), from: 0, by: null }])
    }

    this.#queue = createQueue(attempts => this.#rotateAll(attempts))
  }

  async take (step: Step): Promise<void> {
    this.#moment++

    switch (step.do) {
      case 'attempt': {
        const sessionId = SESSIONS[step.session] as string
        const generation = Math.max(0, (this.#current(sessionId).row?.generation ?? 0) + step.ahead)

        return this.#attempt(
          anAttempt(sessionId, {
            generation,
            now: this.#now,
            ...(step.forged && { secretHash: 'forged' })
          })
        )
      }
      case 'carry out':
        return pick(this.#toCarryOut, step.which)?.()
      case 'answer': {
        pick(this.#toAnswer, step.which)?.()
        return turn()
      }
      case 'revoke': {
        const { row } = this.#current(SESSIONS[step.session] as string)

        if (row !== null) {
          this.#write({ ...row, revokedAt: this.#now, revokedFor: 'logout' }, null)
        }

        return
      }
      case 'rotate elsewhere': {
        const { row } = this.#current(SESSIONS[step.session] as string)
        const attempt = row && anAttempt(row.id, { generation: row.generation, now: this.#now })

        if (attempt !== null && canRotate(row as Session, attempt)) {
          this.#write(applyRotation(row as Session, attempt), null)
        }

        return
      }
      case 'wait': {
        this.#now += step.seconds * SECOND
        return
      }
      case 'turn':
        return turn()
    }
  }

  /** Until everything is answered. */
  async settle (): Promise<void> {
    await this.take({ do: 'turn' })

    while (this.#toCarryOut.length + this.#toAnswer.length > 0) {
      await this.take({ do: 'carry out', which: 0 })
      await this.take({ do: 'answer', which: 0 })
    }
  }

  check (): void {
    for (const made of this.made) {
      this.#checkOne(made)
    }

    for (const [id, versions] of this.#history) {
      const swaps = versions.flatMap(({ by }) => by ?? [])
      const told = this.made.filter(({ attempt, answered }) =>
        attempt.sessionId === id && answered?.outcome.swapped
      )
      deepEqual(
        told.map(({ attempt }) => attempt.generation).sort(),
        swaps.map(({ generation }) => generation).sort(),
        'who is told of a swap has swapped, and nobody else'
      )
      equal(
        new Set(swaps.map(({ generation }) => generation)).size,
        swaps.length,
        'a generation is swapped once'
      )
    }
  }

  #attempt (attempt: RotationAttempt): void {
    const made: Made = { attempt, at: this.#moment, answered: null }
    this.made.push(made)
    void this.#queue.rotate(attempt).then(outcome => {
      made.answered = { at: this.#moment, outcome }
    })
  }

  #checkOne ({ attempt, at, answered }: Made): void {
    ok(answered, 'everyone is answered')
    const { swapped, session } = answered.outcome
    const versions = this.#history.get(attempt.sessionId) as Version[]
    const index = versions.findIndex(({ row, by }) =>
      row === session && (!swapped || by === attempt)
    )
    const version = versions[index]
    ok(version, 'a row that once stood')
    ok(
      version.from <= answered.at && at <= (versions[index + 1]?.from ?? Infinity),
      'a row that stood while the attempt was made'
    )

    if (swapped) {
      ok(version.from >= at, 'swapped after it was made')
    } else {
      ok(session === null || !canRotate(session, attempt), 'who fits is swapped')
    }
  }

  #rotateAll (attempts: readonly RotationAttempt[]): Promise<RotationOutcome[]> {
    equal(
      new Set(attempts.map(({ sessionId }) => sessionId)).size,
      attempts.length,
      'no session twice'
    )
    ok(this.#toCarryOut.length + this.#toAnswer.length < 2, 'two batches at most')

    return new Promise(resolve => {
      this.#toCarryOut.push(() => {
        const outcomes = attempts.map(attempt => this.#rotate(attempt))
        this.#toAnswer.push(() => {
          resolve(outcomes)
        })
      })
    })
  }

  #rotate (attempt: RotationAttempt): RotationOutcome {
    const { row } = this.#current(attempt.sessionId)

    if (row === null || !canRotate(row, attempt)) {
      return { swapped: false, session: row }
    }

    const session = applyRotation(row, attempt)
    this.#write(session, attempt)
    return { swapped: true, session }
  }

  #write (row: Session, by: RotationAttempt | null): void {
    this.#history.get(row.id)?.push({ row, from: this.#moment, by })
  }

  #current (id: string): Version {
    return this.#history.get(id)?.at(-1) as Version
  }
}

function pick<Item> (items: Item[], which: number): Item | undefined {
  return items.splice(which % Math.max(1, items.length), 1)[0]
}

const session = fc.nat(SESSIONS.length - 1)
const inside: Array<fc.WeightedArbitrary<Step>> = [
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('attempt'),
      session,
      ahead: fc.constantFrom(0, 0, 0, 0, -1, 1),
      forged: fc.constantFrom(false, false, false, true)
    })
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('turn') }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('carry out'), which: fc.nat(1) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('answer'), which: fc.nat(1) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('wait'),
      seconds: fc.constantFrom(1, 5, 11, 2 * CLOCK_TOLERANCE / SECOND)
    })
  }
]
const outside: Array<fc.WeightedArbitrary<Step>> = [
  { weight: 1, arbitrary: fc.record({ do: fc.constant('revoke'), session }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('rotate elsewhere'), session }) }
]

const aRealQueue = (rotateAll: RotateAll): RotationQueue =>
  new RotationQueue({ rotateAll, isDataError: () => false })

function hold (steps: Array<fc.WeightedArbitrary<Step>>, createQueue = aRealQueue): Promise<void> {
  return fc.assert(
    fc.asyncProperty(fc.array(fc.oneof(...steps), { maxLength: 40, size: 'max' }), async steps => {
      const world = new World(createQueue)

      for (const step of steps) {
        await world.take(step)
      }

      await world.settle()
      world.check()
    }),
    { numRuns: 500, interruptAfterTimeLimit: 20_000 }
  )
}

t.test('alone with the database, all outcomes are those of some sequence of the attempts', t =>
  t.resolves(hold(inside)))

t.test('so they are when others write too', t => t.resolves(hold([...inside, ...outside])))
