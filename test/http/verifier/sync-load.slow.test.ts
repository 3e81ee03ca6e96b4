import t from 'tap'
import { signToken, startFakeIssuer, startVerifier, waitUntil } from './sync-setup.js'

t.test('10,000 sessions cost one request of at most 64 kB per second', async t => {
  const issuer = await startFakeIssuer(t)
  const { read } = await startVerifier(t, issuer.base, { cacheSize: 20_000 })
  const sids = Array.from({ length: 10_000 }, (_, i) => `s${String(i).padStart(31, '0')}`)

  for (const sid of sids) {
    await read(signToken(sid))

    // Some sessions are refreshed meanwhile.
    if (sid.endsWith('00')) {
      await read(signToken(sid, 1))
    }
  }

  const noted = new Map<string, number>()
  await waitUntil(() => {
    for (const { notes } of issuer.requests) {
      for (const { sid, gen } of notes) {
        noted.set(sid, gen)
      }
    }

    return noted.size === sids.length
  }, 60_000)
  t.ok(issuer.requests.every(({ length }) => length <= 65_536))
  const counts = issuer.requests.flatMap(({ notes }) =>
    notes.map(({ sid, gen }) => `${sid}.${gen}`)
  )
  t.equal(new Set(counts).size, counts.length, 'no generation was sent twice')
  const gaps = issuer.requests.slice(1).map(({ at }, i) => at - (issuer.requests[i]?.at ?? 0))
  t.ok(Math.min(...gaps) > 800, `${Math.round(Math.min(...gaps))} ms between two requests`)
})
