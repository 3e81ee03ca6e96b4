// The games over PostgreSQL, on real time. Many browsers share the instances, and restarts hit all.

import t from 'tap'
import { PostgresStore } from '../../src/stores/postgres/index.js'
import {
  answers,
  createPostgresDatabase,
  POSTGRES_URL,
  startPostgres
} from '../helpers/databases/postgres.js'
import { playHonest } from './honest.js'
import type { Pace } from './honest.js'
import { World } from './world.js'

const GAMES = Number(process.env.GAMES ?? 300)
const CONCURRENT_GAMES = 30
const GRACE = 300
const pace: Pace = {
  grace: GRACE,
  waits: [0, 0, GRACE / 3, GRACE - 20, GRACE + 20, 2 * GRACE],
  steps: 12
}

t.test('no honest browser is signed out over PostgreSQL', { timeout: 600_000 }, async t => {
  const server = await answers(POSTGRES_URL) ? null : await startPostgres()
  const database = await createPostgresDatabase(server?.url ?? POSTGRES_URL)
  t.teardown(() => database.remove().then(() => server?.stop()))
  const store = new PostgresStore(database.connect({ max: 8 }))
  const world = new World({
    seed: Number(process.env.SEED ?? 1),
    instances: 3,
    store,
    isRealTime: true,
    options: { refreshToken: { grace: '300ms' } }
  })
  await world.start()

  for (let played = 0; played < GAMES; played += CONCURRENT_GAMES) {
    const users = Array.from({ length: CONCURRENT_GAMES }, (_, i) => `user ${played + i}`)
    await Promise.all(users.map(user => playHonest(world, pace, user)))
    t.pass(`${played + CONCURRENT_GAMES} games`)
  }

  await world.close()
})
