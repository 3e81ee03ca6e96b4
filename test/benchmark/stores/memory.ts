import { randomBytes } from 'node:crypto'
import { MemoryStore } from 'fastify-token-auth/memory'
import { createSessionId, NO_REPLAYS } from '../../../dist/domain/session.js'
import { callInChildProcess } from '../child-process.js'
import { median } from '../comparison.js'
import type { ResultRow, RunSettings } from '../comparison.js'
import { DAY, MANY_SESSIONS, REALM } from './seed.js'

const MAX_BYTES = 650

/** Measures the memory of a session in a `MemoryStore`, with all its indexes. */
export async function measureMemory ({ rounds }: RunSettings): Promise<ResultRow[]> {
  const results: number[] = []

  for (let round = 0; round < rounds; round++) {
    results.push(
      await callInChildProcess<number>(
        import.meta.url,
        'measureSessionSize',
        [MANY_SESSIONS],
        ['--expose-gc']
      )
    )
  }

  const bytes = median(results)
  const count = MANY_SESSIONS.toLocaleString('en')

  return [{
    work: `MemoryStore, ${count} sessions without a user agent, each with a user of its own`,
    against: '',
    ours: `${Math.round(bytes)} bytes per session`,
    theirs: '',
    ratio: null,
    limit: `at most ${MAX_BYTES}`,
    isReached: bytes <= MAX_BYTES
  }]
}

/** Returns the bytes per session. Requires a new process with `--expose-gc`. */
export async function measureSessionSize (count: number): Promise<number> {
  const store = new MemoryStore()
  const bytesBefore = readUsedBytes()
  const startTime = Date.now()

  for (let n = 0; n < count; n++) {
    // Different times and strings, because sessions share none in production.
    const createdAt = startTime + n
    await store.create({
      id: createSessionId(createdAt),
      realm: REALM,
      userId: `u-${n}`,
      secretHash: randomBytes(32).toString('base64url'),
      generation: 0,
      confirmedGeneration: 0,
      createdAt,
      authenticatedAt: createdAt,
      rotatedAt: createdAt,
      rotatedBy: { address: null, userAgent: null },
      graceFrom: createdAt,
      lastUsedAt: createdAt,
      expiresAt: createdAt + 7 * DAY,
      endsAt: createdAt + 30 * DAY,
      revokedAt: null,
      revokedFor: null,
      device: { label: null, address: null, userAgent: null },
      replayRun: NO_REPLAYS
    })
  }

  const bytes = (readUsedBytes() - bytesBefore) / count
  // Reads the store, so that the garbage collector cannot free it before the measurement.
  const [session] = await store.list(REALM, 'u-0', { now: startTime, limit: 1 })

  if (session?.userId !== 'u-0') {
    throw new Error('Store lost a session')
  }

  return bytes
}

function readUsedBytes (): number {
  for (let i = 0; i < 3; i++) {
    globalThis.gc?.()
  }

  const { heapUsed, external, arrayBuffers } = process.memoryUsage()
  // `external` includes the array buffers.
  return heapUsed + Math.max(external, arrayBuffers)
}
