// 200 logins of each kind. Medians must agree within 5 %, and rank tests must not separate them.
//
// The kinds alternate in an order that each round shuffles, so that other load affects all alike. A
// rank test still separates equal kinds once in 100 runs by chance. A kind that is separated is
// measured again beside the known user, at most twice. Chance alone fails one run in 20,000.

import { hash } from '@node-rs/argon2'
import t from 'tap'
import { createTestApp, PASSWORD } from '../../helpers/app.js'
import type { TestUser } from '../../helpers/app.js'
import { getMedian, mannWhitney, shuffled, wilcoxon } from '../../helpers/statistics.js'

const SAMPLES = 200
const WARM_UP = 20
const ATTEMPTS = 3
const MOST_APART = 0.05
// Two-tailed p = 0.01 of a normal distribution.
const MOST_DEVIATION = 2.576

// A hash with the default cost, because this file compares the work.
const HASH = await hash(PASSWORD, { memoryCost: 19456, timeCost: 2, parallelism: 1 })

// Names have one length and users one password, so that requests differ only in the user.
const KNOWN = 'known-user'
const people: TestUser[] = [
  { id: 'u-1', username: KNOWN, passwordHash: HASH },
  { id: 'u-2', username: 'turned-off', passwordHash: HASH, disabled: true },
  { id: 'u-3', username: 'password-0', passwordHash: null },
  { id: 'u-4', username: 'not-a-hash', passwordHash: 'garbage' },
  { id: 'u-5', username: 'half-a-one', passwordHash: HASH.slice(0, -2) }
]

const others: Readonly<Record<string, string>> = {
  'an unknown user': 'unknown-12',
  'a disabled user': 'turned-off',
  'a user without a password': 'password-0',
  'a user whose hash is none': 'not-a-hash',
  'a user whose hash was cut': 'half-a-one'
}

const { app, post } = await createTestApp({ users: people })
t.teardown(() => app.close())
t.setTimeout(600_000)

async function getTime (username: string): Promise<number> {
  const before = performance.now()
  const { statusCode } = await post('/auth/login', { username, password: 'a wrong one' })
  const time = performance.now() - before

  if (statusCode !== 401) {
    throw new Error(`${username} was answered with ${statusCode}`)
  }

  return time
}

/** Sends one request at a time. Each round has all names in another order. */
async function measure (
  usernames: readonly string[],
  rounds: number
): Promise<(username: string) => number[]> {
  const times = new Map(usernames.map(username => [username, [] as number[]]))

  for (let round = 0; round < rounds; round++) {
    for (const username of shuffled(usernames)) {
      times.get(username)?.push(await getTime(username))
    }
  }

  return username => times.get(username) ?? []
}

interface Comparison {
  readonly ratios: readonly number[]
  readonly deviations: readonly number[]
  readonly isAlike: boolean
}

function compare (times: readonly number[], known: readonly number[]): Comparison {
  const median = getMedian(known)
  // Two estimates of the same value. The second one is more reliable on a busy machine.
  const ratios = [
    getMedian(times) / median,
    1 + getMedian(times.map((time, i) => time - (known[i] as number))) / median
  ]
  const deviations = [mannWhitney(times, known), wilcoxon(times, known)]
  const isAlike = ratios.some(ratio => Math.abs(ratio - 1) <= MOST_APART) &&
    deviations.every(deviation => Math.abs(deviation) < MOST_DEVIATION)
  return { ratios, deviations, isAlike }
}

t.test('the statistic detects a real difference and no other [75]', async t => {
  t.equal(getMedian([3, 1, 2]), 2)
  t.equal(getMedian([4, 1, 2, 3]), 2.5)
  t.equal(mannWhitney([1, 2, 3], [1, 2, 3]), 0)
  t.equal(mannWhitney([1, 2, 3], [4, 5, 6]).toFixed(3), '-1.964')
  t.equal(mannWhitney([4, 5, 6, 6], [1, 2, 3, 4]).toFixed(3), '2.165')
  t.equal(wilcoxon([1, 2, 3], [1, 2, 3]), 0)
  t.equal(wilcoxon([2, 4, 6, 8, 10], [1, 2, 3, 4, 5]).toFixed(3), '2.023')
  t.equal(wilcoxon([1, 5, 1, 7], [2, 3, 4, 3]).toFixed(3), '0.365')

  const known = Array.from({ length: SAMPLES }, (_, i) => 18 + (i * 37 % SAMPLES) / 100)
  const alike = known.toReversed()
  t.ok(compare(alike, known).isAlike)
  t.notOk(compare(alike.map(time => time + 0.5), known).isAlike, 'by rank, within 5 %')
  t.notOk(
    compare(known.map((_time, i) => i % 2 === 0 ? 16 : 20.1), known.map(() => 18)).isAlike,
    'by median'
  )
  const slow = known.map((time, i) => time + 5 * Math.sin(i))
  const slower = slow.map(time => time + 0.3)
  t.ok(Math.abs(mannWhitney(slower, slow)) < MOST_DEVIATION)
  t.notOk(compare(slower, slow).isAlike, 'by pairs, for machines that are slow at times')
})

t.test('a rejected login takes the same time for every account [75]', async t => {
  await measure([KNOWN, ...Object.values(others)], WARM_UP)
  let open = Object.keys(others)

  for (let attempt = 1; attempt <= ATTEMPTS && open.length > 0; attempt++) {
    const getTimes = await measure([KNOWN, ...open.map(sort => others[sort] as string)], SAMPLES)
    const known = getTimes(KNOWN)
    t.ok(getMedian(known) > 3, `a real check takes ${getMedian(known).toFixed(1)} ms`)
    open = open.filter(sort => {
      const { ratios, deviations, isAlike } = compare(getTimes(others[sort] as string), known)
      const figures = [
        ratios.map(ratio => ratio.toFixed(3)),
        deviations.map(deviation => deviation.toFixed(2))
      ]
      t.comment(`${attempt}: ${sort}: ${figures.join(' times as long, ')} standard deviations away`)
      return !isAlike
    })
  }

  t.strictSame(open, [], 'are told apart')
})
