import { existsSync } from 'node:fs'
import { compare, isSmokeRun } from '../comparison.js'
import type { Comparison, Measure, RunSettings } from '../comparison.js'
import { startProcess } from '../processes.js'
import type { CallableProcess } from '../processes.js'
import { Connection, createRequestFormatter } from './connection.js'
import type { ServerModule } from './server-process.js'
import type { Exchange, ServerSettings, StartedServer, Workload } from './servers/shared.js'

/** Number of concurrent connections. */
export const CONNECTIONS = 64

/** Time of a run that is not counted, in milliseconds. */
const SETTLE_TIME = 100

/** CPU time of a server in microseconds, after which its code is compiled. */
const WARM_UP_TIME = 3e6

/** A server to measure. */
export interface ServerCandidate {
  readonly module: ServerModule
  readonly settings: ServerSettings
  /** Name of an earlier candidate whose exchange this one imitates. */
  readonly imitates?: string
}

interface RunningServer extends StartedServer {
  readonly process: CallableProcess
}

/** Whether the packages of the peers are installed. */
export const hasPeers = existsSync(new URL('../peers/node_modules/better-auth', import.meta.url))

/**
 * Measures servers in rounds, in requests per second of CPU time.
 *
 * All servers run during the whole comparison, and are idle between their turns. Their tokens and
 * their warm-up take longer than a measurement. An idle server does not affect the others, because
 * only the CPU time of the measured one counts. Each server is checked before and after the rounds.
 */
export async function compareServers (
  candidates: Readonly<Record<string, ServerCandidate>>,
  settings: RunSettings
): Promise<Comparison> {
  const load = startProcess(new URL('load-process.ts', import.meta.url), 1)
  const servers = new Map<string, RunningServer>()
  const exchanges = new Map<string, Exchange>()
  const processes = [load]

  try {
    for (const [name, candidate] of Object.entries(candidates)) {
      const process = startProcess(new URL('server-process.ts', import.meta.url), 0)
      processes.push(process)
      const exchange = exchanges.get(candidate.imitates ?? '')
      const { port, workload } = await process.call<StartedServer>('start', {
        module: candidate.module,
        settings: { ...candidate.settings, ...(exchange && { exchange }) }
      })
      const server = { port, workload, process }
      servers.set(name, server)
      exchanges.set(name, await checkBefore(name, server))
      await load.call('addTarget', { target: name, port, workload })
      await warmUp(load, name, server, settings)
    }

    const measures = [...servers].map(([name, server]) =>
      [name, createMeasure(load, name, server, settings)] as const
    )
    const comparison = await compare(Object.fromEntries(measures), settings)

    for (const [name, server] of servers) {
      await checkAfter(name, server)
    }

    return comparison
  } finally {
    await Promise.all(processes.map(async process => {
      await process.stop()
    }))
  }
}

/**
 * Presents each token once, and then sends requests until the server has used enough CPU time.
 *
 * CPU time counts instead of the clock, because a busy machine may give a tenth of it.
 */
async function warmUp (
  load: CallableProcess,
  target: string,
  { process, workload: { nextToken, tokens } }: RunningServer,
  { ms }: RunSettings
): Promise<void> {
  const endTime = await process.call<number>('readCpuTime') +
    (isSmokeRun({ ms }) ? 0 : WARM_UP_TIME)
  await load.call('connect', { target, count: CONNECTIONS })
  await load.call('run', {
    target,
    ms: Math.min(SETTLE_TIME, ms),
    minRequests: nextToken === undefined ? tokens.length : CONNECTIONS
  })

  while (await process.call<number>('readCpuTime') < endTime) {
    await load.call('run', { target, ms: SETTLE_TIME, minRequests: CONNECTIONS })
  }

  await load.call('disconnect', { target })
}

function createMeasure (
  load: CallableProcess,
  target: string,
  { process: server }: RunningServer,
  { ms }: RunSettings
): Measure {
  return async () => {
    await load.call('connect', { target, count: CONNECTIONS })
    await load.call('run', {
      target,
      ms: Math.min(SETTLE_TIME, ms),
      minRequests: CONNECTIONS
    })
    // No request is in flight at the start and at the end, so that CPU time and count match.
    const cpuBefore = await server.call<number>('readCpuTime')
    const startTime = performance.now()
    const count = await load.call<number>('run', { target, ms, minRequests: CONNECTIONS })
    const elapsed = performance.now() - startTime
    const cpuSeconds = (await server.call<number>('readCpuTime') - cpuBefore) / 1e6
    await load.call('disconnect', { target })
    const rate = Math.round(count / cpuSeconds).toLocaleString('en')
    const usage = Math.round(cpuSeconds / elapsed * 1e5)
    process.stderr.write(`  ${target}: ${rate} requests per CPU second, ${usage} % of a core\n`)
    return count / cpuSeconds
  }
}

async function checkBefore (name: string, { port, workload }: StartedServer): Promise<Exchange> {
  // A refresh workload has one token more than there are connections, for this check.
  const token = workload.tokens.at(-1) as string
  const response = await assertAccepted(name, port, workload, token)
  const [head = '', body = ''] = response.split('\r\n\r\n')
  await assertRejected(name, port, workload, tamper(token))

  if (workload.nextToken !== undefined) {
    // A token may be accepted again until its successor is used, because its response could be
    // lost.
    const successor = (JSON.parse(body) as Record<string, string>)[workload.nextToken] as string
    await assertAccepted(name, port, workload, successor)
    await assertRejected(name, port, workload, token)
  }

  return { token, body, headers: parseHeaders(head) }
}

/** Returns the headers that neither Node.js nor Fastify add. */
function parseHeaders (head: string): Record<string, string> {
  const pairs = head.split('\r\n').slice(1).map(line => line.split(': ') as [string, string])

  return Object.fromEntries(
    pairs.filter(([name]) => !/^(content-(type|length)|date|connection|keep-alive)$/i.test(name))
  )
}

async function checkAfter (name: string, { port, workload }: RunningServer): Promise<void> {
  const token = workload.tokens[0] as string
  await assertRejected(name, port, workload, tamper(token))

  if (workload.nextToken === undefined) {
    await assertAccepted(name, port, workload, token)
  } else {
    await assertRejected(name, port, workload, token)
  }
}

async function assertAccepted (
  name: string,
  port: number,
  workload: Workload,
  token: string
): Promise<string> {
  const response = await send(port, workload, token)

  if (getStatus(response) !== 200 || !response.includes(workload.expected)) {
    throw new Error(`${name} rejects a valid token: ${response}`)
  }

  return response
}

async function assertRejected (
  name: string,
  port: number,
  workload: Workload,
  token: string
): Promise<void> {
  if (workload.rejectionStatus === null) {
    return
  }

  const response = await send(port, workload, token)
  const isRejected = getStatus(response) === workload.rejectionStatus

  if (!isRejected || response.includes(workload.expected)) {
    throw new Error(`${name} accepts an invalid token: ${response}`)
  }
}

async function send (port: number, workload: Workload, token: string): Promise<string> {
  const connection = new Connection(port)
  const response = await connection.send(createRequestFormatter(workload, port)(token))
  connection.close()
  return response
}

function getStatus (response: string): number {
  return Number.parseInt(response.slice('HTTP/1.1 '.length), 10)
}

/** Changes the signature of a JWT, or the value of the first cookie. */
function tamper (token: string): string {
  const position = token.includes('=') ? token.indexOf('=') + 3 : token.length - 20
  const replacement = token[position] === 'A' ? 'B' : 'A'
  return token.slice(0, position) + replacement + token.slice(position + 1)
}
