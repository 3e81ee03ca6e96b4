import type { FollowableToken, FollowedSession } from '../../src/live/follower.js'
import { createFollowers, createToken } from './fixtures.js'

/**
 * Measures the heap of followed sessions, each of another user, and prints bytes for each.
 *
 * - `total`: with the AbortController, one listener and the strings of a verified token.
 * - `own`: the part of `total` beside an AbortController with one listener.
 * - `left`: what is left after all of them have ended.
 */
const COUNT = 20_000
const { followers } = createFollowers()
const aborted: boolean[] = Array(COUNT).fill(false)
const controllers: Array<AbortController | null> = Array(COUNT).fill(null)
const sessions: Array<FollowedSession | null> = Array(COUNT).fill(null)

function measureHeap (): number {
  const { gc } = globalThis as { gc?: () => void }
  gc?.()
  gc?.()
  return process.memoryUsage().heapUsed
}

function addListener (signal: AbortSignal, index: number): void {
  signal.addEventListener('abort', () => {
    aborted[index] = true
  })
}

function createControllers (count: number): void {
  for (let i = 0; i < count; i++) {
    const controller = new AbortController()
    addListener(controller.signal, i)
    controllers[i] = controller
  }
}

function followAll (count: number): void {
  for (let i = 0; i < count; i++) {
    const token = createToken({ userId: `u-${i}`, expiresAt: Date.UTC(2027, 0, 1) + i * 45 })
    // The strings of a verified token come from `JSON.parse`.
    const session = followers.follow(JSON.parse(JSON.stringify(token)) as FollowableToken)
    addListener(session.signal, i)
    sessions[i] = session
  }
}

function endAll (): void {
  for (const session of sessions) {
    session?.end()
  }

  sessions.fill(null)
}

function measure (create: (count: number) => void): number {
  const before = measureHeap()
  create(COUNT)
  return Math.round((measureHeap() - before) / COUNT)
}

// The first calls compile the functions.
createControllers(1000)
controllers.fill(null)
followAll(1000)
endAll()

const controller = measure(createControllers)
controllers.fill(null)
const before = measureHeap()
const total = measure(followAll)
endAll()
const left = Math.round((measureHeap() - before) / COUNT)
console.log(JSON.stringify({ total, own: total - controller, left }))
