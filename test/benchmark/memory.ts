// What a session weighs in a MemoryStore, with all that finds it: by id, by user, by end.

import { randomBytes } from 'node:crypto'
import { MemoryStore } from 'fastify-token-auth/memory'
import { callInChild } from './child.js'
import { DAY, MANY } from './fill.js'
import { median } from './rounds.js'
import type { Benchmark } from './rounds.js'

const LIMIT = 650

export const memory: Benchmark = async ({ rounds }) => {
  const bytes: number[] = []

  for (let round = 0; round < rounds; round++) {
    bytes.push(await callInChild<number>(import.meta.url, 'weigh', [MANY], ['--expose-gc']))
  }

  const weight = median(bytes)

  return [{
    work: `MemoryStore, ${
      MANY.toLocaleString('en')
    } sessions without device text, each of another user`,
    against: '',
    ours: `${Math.round(weight)} bytes a session`,
    theirs: '',
    ratio: null,
    limit: `at most ${LIMIT}`,
    isReached: weight <= LIMIT
  }]
}

/** Bytes a session, in a process that does nothing else and knows `gc`. */
export async function weigh (count: number): Promise<number> {
  const store = new MemoryStore()
  const before = used()
  const createdAt = Date.now()

  for (let n = 0; n < count; n++) {
    // A millisecond each, and texts of its own: nothing is shared that would not be in earnest.
    const at = createdAt + n
    await store.create({
      id: `s${randomBytes(16).toString('base64url')}`,
      userId: `u-${n}`,
      secretHash: randomBytes(32).toString('base64url'),
      generation: 0,
      confirmedGeneration: 0,
      createdAt: at,
      authenticatedAt: at,
      rotatedAt: at,
      rotatedBy: { address: null, userAgent: null },
      lastUsedAt: at,
      expiresAt: at + 7 * DAY,
      endsAt: at + 30 * DAY,
      revokedAt: null,
      revokedFor: null,
      device: { label: null, address: null, userAgent: null }
    })
  }

  const bytes = (used() - before) / count
  // It must still be there when it is weighed.
  const [session] = await store.list('u-0', { now: createdAt, limit: 1 })

  if (session?.userId !== 'u-0') {
    throw new Error('the store has lost its sessions')
  }

  return bytes
}

function used (): number {
  for (let i = 0; i < 3; i++) {
    globalThis.gc?.()
  }

  const { heapUsed, external, arrayBuffers } = process.memoryUsage()
  // `external` holds the buffers too.
  return heapUsed + Math.max(external, arrayBuffers)
}
