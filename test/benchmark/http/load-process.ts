/**
 * Process that sends requests to a server on several connections, and checks each response.
 *
 * @module
 */

import { handleCalls } from '../processes.js'
import { Connection, createRequestFormatter } from './connection.js'
import type { Workload } from './servers/shared.js'

/** A run ends when its time is over, and at least `minRequests` have a response. */
export interface LoadRun {
  readonly ms: number
  readonly minRequests: number
}

interface Target {
  readonly port: number
  readonly workload: Workload
  /** Formatted requests, if the tokens do not change. */
  readonly requests: readonly Buffer[]
  /** Current refresh token of each connection. */
  readonly currentTokens: string[]
  readonly formatRequest: (token: string) => string
  connections: Connection[]
  nextRequest: number
}

interface RunState {
  count: number
  readonly endTime: number
  readonly minRequests: number
}

const targets = new Map<string, Target>()

handleCalls({
  async addTarget (
    { target, port, workload }: { target: string, port: number, workload: Workload }
  ) {
    const formatRequest = createRequestFormatter(workload, port)
    const hasFixedTokens = workload.nextToken === undefined
    targets.set(target, {
      port,
      workload,
      requests: hasFixedTokens
        ? workload.tokens.map(token => Buffer.from(formatRequest(token)))
        : [],
      currentTokens: hasFixedTokens ? [] : [...workload.tokens],
      formatRequest,
      connections: [],
      nextRequest: 0
    })
  },
  // Separate from `run`, so that the cost of connecting is not measured.
  async connect ({ target, count }: { target: string, count: number }) {
    const { port, connections } = getTarget(target)

    while (connections.length < count) {
      connections.push(new Connection(port))
    }
  },
  async disconnect ({ target: name }: { target: string }) {
    const target = getTarget(name)

    for (const connection of target.connections) {
      connection.close()
    }

    target.connections = []
  },
  /** @returns The number of correct responses. An incorrect one ends the run with an error. */
  async run ({ target: name, ms, minRequests }: { target: string } & LoadRun) {
    const target = getTarget(name)
    const state = { count: 0, endTime: performance.now() + ms, minRequests }
    const sendRequests = target.workload.nextToken === undefined ? sendInTurn : followTokens
    const release = keepAwake()
    await Promise.all(target.connections.map(async (connection, index) => {
      await sendRequests(target, connection, index, state)
    }))
    release()
    return state.count
  }
})

// The writer pays 20 µs to wake a sleeping process. A fast server keeps this process awake, and a
// slow one would pay with each response.
function keepAwake (): () => void {
  let immediate = setImmediate(function repeat () {
    immediate = setImmediate(repeat)
  })

  return () => {
    clearImmediate(immediate)
  }
}

function isFinished ({ count, endTime, minRequests }: RunState): boolean {
  return count >= minRequests && performance.now() >= endTime
}

async function sendInTurn (
  target: Target,
  connection: Connection,
  _index: number,
  state: RunState
): Promise<void> {
  const { requests, workload: { expected } } = target

  while (!isFinished(state)) {
    const request = requests[target.nextRequest++ % requests.length] as Buffer
    assertExpected(await connection.send(request), expected)
    state.count++
  }
}

async function followTokens (
  target: Target,
  connection: Connection,
  index: number,
  state: RunState
): Promise<void> {
  const { currentTokens, formatRequest, workload: { expected, nextToken } } = target
  const prefix = `"${nextToken}":"`

  while (!isFinished(state)) {
    const response = await connection.send(formatRequest(currentTokens[index] as string))
    assertExpected(response, expected)
    const start = response.indexOf(prefix) + prefix.length
    currentTokens[index] = response.slice(start, response.indexOf('"', start))
    state.count++
  }
}

function assertExpected (response: string, expected: string): void {
  if (!response.startsWith('HTTP/1.1 200 ') || !response.includes(expected)) {
    throw new Error(`Unexpected response: ${response}`)
  }
}

function getTarget (name: string): Target {
  const target = targets.get(name)

  if (target === undefined) {
    throw new Error(`Unknown target ${name}`)
  }

  return target
}
