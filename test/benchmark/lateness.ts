// How late the event loop gets to what happens. A thread of its own lets something happen every millisecond, also while the
// loop is blocked: so a pause counts for as long as it lasts, as it would to requests that come meanwhile. A timer on the loop
// itself would see each pause once, however long it is.

import { once } from 'node:events'
import { Worker } from 'node:worker_threads'

export interface Lateness {
  /** Milliseconds. */
  readonly p99: number
  readonly longest: number
}

// All threads read the same clock.
const ticking = `
  const { parentPort } = require('node:worker_threads')
  setInterval(() => { parentPort.postMessage(process.hrtime.bigint()) }, 1)`

/** What was seen while the work went on. */
export async function latenessDuring (work: () => Promise<unknown>): Promise<Lateness> {
  const worker = new Worker(ticking, { eval: true })
  await once(worker, 'message')
  const seen: number[] = []
  worker.on('message', (sent: bigint) => {
    seen.push(Number(process.hrtime.bigint() - sent) / 1e6)
  })

  try {
    await work()
  } finally {
    await worker.terminate()
  }

  seen.sort((a, b) => a - b)
  return { p99: seen[Math.floor(seen.length * 0.99)] ?? 0, longest: seen.at(-1) ?? 0 }
}
