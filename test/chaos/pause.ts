import { setTimeout as sleep } from 'node:timers/promises'
import type { Random } from '../../src/testing/index.js'

/** Waits a random number of milliseconds between two bounds. */
export async function pause (random: Random, from: number, to: number): Promise<void> {
  await sleep(random.between(from, to))
}
