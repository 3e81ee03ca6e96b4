import t from 'tap'
import type { Caller, ReplayRun, Session } from '../../src/domain/session.js'
import { isSameClientByDefault, judgeReplay } from '../../src/sessions/replay-verdict.js'
import { makeSession } from '../../src/stores/conformance/harness.js'

const ANN = { address: '192.0.2.1', userAgent: 'Ann/1.0' }
const EVE = { address: '198.51.100.7', userAgent: 'Eve/1.0' }

const createRow = (generation: number, replayRun: ReplayRun): Session =>
  makeSession({ generation, rotatedBy: ANN, replayRun })

const judge = (
  session: Session,
  { by = EVE, isRecovery = false }: { by?: Caller, isRecovery?: boolean } = {}
) => judgeReplay(session, by, isRecovery, isSameClientByDefault)

t.test('replays of three successive generations by another client are suspicious', async t => {
  let run: ReplayRun = { generation: 0, length: 0 }

  for (let generation = 5; generation <= 9; generation++) {
    const verdict = judge(createRow(generation, run))
    const length = generation - 4
    t.strictSame(verdict, { run: { generation, length }, isSuspicious: length >= 3 })
    run = verdict?.run as ReplayRun
  }
})

t.test('the run counts over all instances, because it is in the row', async t => {
  t.strictSame(judge(createRow(7, { generation: 6, length: 2 })), {
    run: { generation: 7, length: 3 },
    isSuspicious: true
  })
})

t.test('a generation without a replay ends the run', async t => {
  for (const generation of [8, 9, 100]) {
    t.strictSame(judge(createRow(generation, { generation: 6, length: 2 })), {
      run: { generation, length: 1 },
      isSuspicious: false
    })
  }
})

t.test('a generation counts once, however often it is presented', async t => {
  t.equal(judge(createRow(7, { generation: 7, length: 2 })), null)
})

t.test('a recovery by another client is suspicious after a replay of the generation', async t => {
  t.strictSame(judge(createRow(7, { generation: 7, length: 1 }), { isRecovery: true }), {
    run: { generation: 7, length: 1 },
    isSuspicious: true
  })
  t.equal(judge(createRow(7, { generation: 7, length: 1 }), { isRecovery: true, by: ANN }), null)
})

t.test('replays by the client that rotated count never', async t => {
  for (
    const by of [
      ANN,
      { ...EVE, userAgent: ANN.userAgent },
      { ...EVE, address: ANN.address }
    ]
  ) {
    for (const isRecovery of [true, false]) {
      t.equal(judge(createRow(7, { generation: 6, length: 9 }), { by, isRecovery }), null)
    }
  }
})

t.test('a recovery by another client is suspicious immediately', async t => {
  t.strictSame(judge(createRow(7, { generation: 0, length: 0 }), { isRecovery: true }), {
    run: { generation: 7, length: 1 },
    isSuspicious: true
  })
})

t.test('the first replay of generation 1 starts a run', async t => {
  t.match(judge(createRow(1, { generation: 0, length: 0 })), { run: { generation: 1, length: 1 } })
})

t.test('isSameClient decides, and gets the client that rotated first', async t => {
  const calls: unknown[] = []
  const session = createRow(7, { generation: 0, length: 0 })
  const verdict = judgeReplay(session, ANN, false, (one, other) => {
    calls.push([one, other])
    return false
  })
  t.strictSame(calls, [[ANN, ANN]])
  t.match(verdict, { run: { generation: 7, length: 1 } })
})

t.test('two callers may be one client if the user agent or the network is the same', async t => {
  const same: ReadonlyArray<readonly [Caller, Caller]> = [
    [ANN, ANN],
    [ANN, { ...ANN, address: null }],
    [{ address: null, userAgent: null }, { ...EVE, userAgent: null }],
    [
      { address: '2001:db8:1:2::1', userAgent: 'a' },
      { address: '2001:db8:1:2:ffff::9', userAgent: 'b' }
    ]
  ]
  const different: ReadonlyArray<readonly [Caller, Caller]> = [
    [ANN, EVE],
    [ANN, { address: '192.0.2.2', userAgent: 'Eve/1.0' }],
    [{ address: null, userAgent: 'a' }, { address: null, userAgent: 'b' }],
    [ANN, { ...ANN, address: null, userAgent: null }],
    [
      { address: '2001:db8:1:2::1', userAgent: 'a' },
      { address: '2001:db8:1:3::1', userAgent: 'b' }
    ]
  ]

  for (const [one, other] of same) {
    t.equal(isSameClientByDefault(one, other), true)
    t.equal(isSameClientByDefault(other, one), true)
  }

  for (const [one, other] of different) {
    t.equal(isSameClientByDefault(one, other), false)
    t.equal(isSameClientByDefault(other, one), false)
  }
})
