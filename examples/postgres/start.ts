// `npx tsx examples/postgres/start.ts`: two instances on one PostgreSQL, at DATABASE_URL or on localhost.

import { startBehindRoundRobin } from '../shared/round-robin.js'

await startBehindRoundRobin(new URL('instance.ts', import.meta.url))
