// The way between a tab and its server, where requests meet their faults. All chance is drawn when a request sets out, so that
// what happens later does not depend on how long the server really takes.

import type { Clock } from './clock.js'
import type { FaultKind, FaultRates, LogEntry } from './kinds.js'
import type { Random } from './random.js'
import { rejectBy } from './shared.js'

type Credentials = Request['credentials']

export interface NetworkOptions {
  readonly rates: FaultRates
  readonly latency: readonly [from: number, to: number]
  readonly longestDelay: number
  /** Which requests meet faults. */
  readonly isExposed: (method: string, url: string) => boolean
}

/** A fault that the next requests are to meet. */
export interface Script {
  readonly kind: FaultKind
  readonly path: string
  left: number
}

/** Who sends, and receives. */
export interface Peer {
  readonly name: string
  isAlive (): boolean
  kill (): void
  /** What the browser does to a request before it leaves, and to an answer before a script sees it. */
  leave (url: string, headers: Headers, credentials: Credentials): void
  arrive (url: string, headers: Headers, credentials: Credentials): void
}

export interface Network {
  isOnline: boolean
  /** Whether requests meet faults by chance. */
  isFaulty: boolean
  readonly scripts: Script[]
  wrap (send: typeof fetch, peer: Peer): typeof fetch
}

/** What is to happen to one request. */
interface Plan {
  readonly fault: FaultKind | undefined
  readonly up: number
  readonly down: number
  /** From 0 to 1, for what the fault leaves open. */
  readonly dice: number
}

export function createNetwork (
  clock: Clock, random: Random, { rates, latency, longestDelay, isExposed }: NetworkOptions,
  log: (entry: Omit<LogEntry, 'at' | 'step'>) => void
): Network {
  const overtakers = new Set<() => void>()
  let count = 0

  function draw (method: string, url: string): Plan {
    const half = (): number => random.between(...latency) / 2
    const plan = { up: half(), down: half(), dice: random.next() }
    const byChance = random.weigh<FaultKind | undefined>([
      ...Object.entries(rates) as Array<[FaultKind, number]>,
      [undefined, Math.max(0, 1 - Object.values(rates).reduce((sum, rate) => sum + rate, 0))]
    ])
    const script = network.scripts.find(({ path, left }) => left > 0 && new URL(url).pathname.endsWith(path))
    if (script !== undefined) script.left--
    const fault = script?.kind ?? (network.isFaulty && isExposed(method, url) ? byChance : undefined)
    return fault === 'delay'
      ? { ...plan, fault, up: plan.up + plan.dice * longestDelay, down: plan.down + plan.dice * longestDelay * 4 }
      : { ...plan, fault }
  }

  // Whoever is waiting to be overtaken now is.
  function overtake (): void {
    for (const go of [...overtakers]) go()
  }

  async function beOvertaken (): Promise<void> {
    const controller = new AbortController()
    const go = (): void => { controller.abort() }
    overtakers.add(go)
    await clock.sleep(longestDelay, controller.signal)
    overtakers.delete(go)
  }

  const network: Network = {
    isOnline: true,
    isFaulty: true,
    scripts: [],
    wrap: (send, peer) => async (input, init) => {
      const given = new Request(input as Request, { ...init, duplex: 'half' } as RequestInit)
      const { method, url, credentials, redirect, headers } = given
      const { fault, up, down, dice } = draw(method, url)
      const id = `${++count} ${method} ${url}`
      const tell = (what: LogEntry['what'], status?: number): void => {
        log({ what, who: peer.name, request: id, ...(fault && { fault }), ...(status !== undefined && { status }) })
      }
      tell('request')
      const slept = clock.slept()
      const isUp = (): boolean => network.isOnline && clock.slept() === slept
      // What the caller hands over is read at once, as a browser does.
      const body = given.body === null ? null : await clock.hold(() => given.arrayBuffer())
      peer.leave(url, headers, credentials)

      const act = (): Promise<Response> => clock.hold(async () => {
        const answer = await send(url, { method, headers, body, credentials, redirect })
        const content = await answer.arrayBuffer()
        tell('acted', answer.status)
        return copyOf(answer, content)
      })

      async function travel (signal: AbortSignal): Promise<Response> {
        if (fault === 'reorder') await beOvertaken()
        await clock.sleep(up)
        // Of a tab that has gone, and of a call that was given up, what has not left yet does not leave.
        if (signal.aborted || !peer.isAlive()) return never()
        if (fault === 'unsent' || !isUp()) throw new TypeError('Failed to fetch')
        const answer = madeUp(fault, dice) ?? await act()
        if (fault !== 'reorder') overtake()
        if (fault === 'hang') return never()
        const second = fault === 'duplicate' ? clock.sleep(dice * longestDelay).then(() => isUp() ? act() : answer) : null
        second?.catch(() => {})
        const arriving = second !== null && dice < 0.5 ? await second : answer
        await clock.sleep(down)
        if (signal.aborted || !peer.isAlive()) return never()
        if (fault === 'drop' || !isUp()) throw new TypeError('Failed to fetch')
        const seen = fault === '504' ? reply(504, 'Gateway Timeout') : arriving
        peer.arrive(url, seen.headers, credentials)
        if (fault === 'kill') void clock.sleep(Math.floor(dice * 21)).then(() => { peer.kill() })
        return seen
      }

      return new Promise((resolve, reject) => {
        const { signal } = given
        const abort = (): void => { rejectBy(signal, reject) }
        if (signal.aborted) return abort()
        signal.addEventListener('abort', abort)
        travel(signal).then(answer => {
          tell('answer', answer.status)
          resolve(answer)
        }, (error: Error) => {
          tell('failure')
          reject(error)
        }).finally(() => { signal.removeEventListener('abort', abort) })
      })
    }
  }
  return network
}

/** The answer of a server that has not acted; `null` where it acts. */
function madeUp (fault: FaultKind | undefined, dice: number): Response | null {
  const retryAfter = { 'retry-after': String(1 + Math.floor(dice * 30)) }
  switch (fault) {
    case '429': return reply(429, 'Too Many Requests', retryAfter)
    case '500': return reply(500, 'Internal Server Error')
    case '503': return reply(503, 'Service Unavailable', dice < 0.5 ? retryAfter : {})
    case 'portal': return reply(200, '<!doctype html><title>Welcome to the hotel</title>', { 'content-type': 'text/html' })
    default: return null
  }
}

function reply (status: number, body: string, headers: Record<string, string> = {}): Response {
  return new Response(body, { status, headers: { 'content-type': 'text/plain', ...headers } })
}

/** The same answer, read to its end. */
function copyOf ({ status, statusText, headers, url, redirected }: Response, content: ArrayBuffer): Response {
  const isBare = [204, 205, 304].includes(status)
  const copy = new Response(isBare ? null : content, { status, statusText, headers })
  return Object.defineProperties(copy, { url: { value: url }, redirected: { value: redirected } })
}

function never (): Promise<never> {
  return new Promise(() => {})
}
