import { once } from 'node:events'
import { Worker } from 'node:worker_threads'

/** Delays of the event loop, in milliseconds. */
export interface EventLoopDelay {
  readonly p99: number
  readonly max: number
}

// All threads read the same clock.
const tickingWorker = `
  const { parentPort } = require('node:worker_threads')
  setInterval(() => { parentPort.postMessage(process.hrtime.bigint()) }, 1)`

/**
 * Measures how late the event loop handles messages while `work` runs.
 *
 * A worker thread sends a message every millisecond, also while the loop is blocked. So a pause
 * counts for each message that it delays, as it would for requests. A timer on the loop counts it
 * only once.
 */
export async function measureEventLoopDelay (
  work: () => Promise<unknown>
): Promise<EventLoopDelay> {
  const worker = new Worker(tickingWorker, { eval: true })
  await once(worker, 'message')
  const delays: number[] = []
  worker.on('message', (sentAt: bigint) => {
    delays.push(Number(process.hrtime.bigint() - sentAt) / 1e6)
  })

  try {
    await work()
  } finally {
    await worker.terminate()
  }

  delays.sort((a, b) => a - b)
  return { p99: delays[Math.floor(delays.length * 0.99)] ?? 0, max: delays.at(-1) ?? 0 }
}
