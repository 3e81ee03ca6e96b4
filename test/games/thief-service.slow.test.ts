// Thieves whose victims use access tokens at a service only, never at the issuer.

import t from 'tap'
import { issuerOptions, startService } from './service.js'
import { habits, playThief, testThieves } from './thief-games.js'

const atService = { options: issuerOptions, startService }

testThieves(t, 'at a service', 40, atService)

t.test('a theft has the same course if tokens are used at a service only', async t => {
  for (let seed = 1; seed <= 10; seed++) {
    const [{ log }, atIssuer] = [
      await playThief(seed, null, atService),
      await playThief(seed, null, {})
    ]
    t.strictSame(log, atIssuer.log, `seed ${seed}`)
  }
})

// Without replay detection, the issuer notices these thieves by used generations only.
for (
  const name of ['comes first and uses its tokens', 'comes second, after the grace period'] as const
) {
  t.test(`a thief who ${name} is noticed by the notes of a service alone`, async t => {
    const { theft } = await playThief(1, habits[name], {
      startService,
      options: { ...issuerOptions, refreshToken: { replayDetection: false } }
    })
    t.match(theft, { isNoticed: true, generations: Number })
    t.ok(theft.generations <= 1, `${theft.generations} generations`)
  })
}
