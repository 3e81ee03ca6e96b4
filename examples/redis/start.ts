// `npx tsx examples/redis/start.ts`: two instances on one Redis, at REDIS_URL or on localhost.

import { startBehindRoundRobin } from '../shared/round-robin.js'

await startBehindRoundRobin(new URL('instance.ts', import.meta.url))
