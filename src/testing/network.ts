// The way between a tab and its server, where requests meet their faults. All chance is drawn when a request sets out, so that
// what happens later does not depend on how long the server really takes.

import type { Clock } from './clock.js'
import type { Random } from './random.js'
import { rejectBy } from './tabs.js'

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
export interface Endpoint {
  readonly name: string
  isAlive(): boolean
  kill(): void
  /** What the browser does to a request before it leaves, and to an answer before a script sees it. */
  leave(url: string, headers: Headers, credentials: Credentials): void
  arrive(url: string, headers: Headers, credentials: Credentials): void
}

export interface Network {
  isOnline: boolean
  /** Whether requests meet faults by chance. */
  isFaulty: boolean
  readonly scripts: Script[]
  wrap(send: typeof fetch, peer: Endpoint): typeof fetch
}

/** What is to happen to one request. */
interface Plan {
  readonly fault: FaultKind | undefined
  readonly up: number
  readonly down: number
  /** From 0 to 1, for what the fault leaves open. */
  readonly dice: number
}

/** */
export function createNetwork (
  clock: Clock,
  random: Random,
  { rates, latency, longestDelay, isExposed }: NetworkOptions,
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
    const script = network.scripts.find(({ path, left }) =>
      left > 0 && new URL(url).pathname.endsWith(path)
    )

    if (script !== undefined) {
      script.left--
    }

    const fault = script?.kind ??
      (network.isFaulty && isExposed(method, url) ? byChance : undefined)

    return fault === 'delay'
      ? {
        ...plan,
        fault,
        up: plan.up + plan.dice * longestDelay,
        down: plan.down + plan.dice * longestDelay * 4
      }
      : { ...plan, fault }
  }

  // Whoever is waiting to be overtaken now is.
  function overtake (): void {
    for (const go of [...overtakers]) {
      go()
    }
  }

  async function beOvertaken (): Promise<void> {
    const controller = new AbortController()

    const go = (): void => {
      controller.abort()
    }

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
        log({
          what,
          who: peer.name,
          request: id,
          ...(fault && { fault }),
          ...(status !== undefined && { status })
        })
      }

      tell('request')
      const slept = clock.slept()
      const isUp = (): boolean => network.isOnline && clock.slept() === slept
      // What the caller hands over is read at once, as a browser does.
      const body = given.body === null ? null : await clock.hold(() => given.arrayBuffer())
      peer.leave(url, headers, credentials)

      const act = (): Promise<Response> =>
        clock.hold(async () => {
          const answer = await send(url, { method, headers, body, credentials, redirect })
          const content = await answer.arrayBuffer()
          tell('acted', answer.status)
          return copyOf(answer, content)
        })

      async function travel (signal: AbortSignal): Promise<Response> {
        if (fault === 'reorder') {
          await beOvertaken()
        }

        await clock.sleep(up)

        // Of a tab that has gone, and of a call that was given up, what has not left yet does not leave.
        if (signal.aborted || !peer.isAlive()) {
          return never()
        }

        if (fault === 'unsent' || !isUp()) {
          throw new TypeError('Failed to fetch')
        }

        const answer = madeUp(fault, dice) ?? await act()

        if (fault !== 'reorder') {
          overtake()
        }

        if (fault === 'hang') {
          return never()
        }

        const second = fault === 'duplicate'
          ? clock.sleep(dice * longestDelay).then(() => isUp() ? act() : answer)
          : null
        second?.catch(() => {})
        const arriving = second !== null && dice < 0.5 ? await second : answer
        await clock.sleep(down)

        if (signal.aborted || !peer.isAlive()) {
          return never()
        }

        if (fault === 'drop' || !isUp()) {
          throw new TypeError('Failed to fetch')
        }

        const seen = fault === '504' ? reply(504, 'Gateway Timeout') : arriving
        peer.arrive(url, seen.headers, credentials)

        if (fault === 'kill') {
          void clock.sleep(Math.floor(dice * 21)).then(() => {
            peer.kill()
          })
        }

        return seen
      }

      return new Promise((resolve, reject) => {
        const { signal } = given

        const abort = (): void => {
          rejectBy(signal, reject)
        }

        if (signal.aborted) {
          return abort()
        }

        signal.addEventListener('abort', abort)
        travel(signal).then(answer => {
          tell('answer', answer.status)
          resolve(answer)
        }, (error: Error) => {
          tell('failure')
          reject(error)
        }).finally(() => {
          signal.removeEventListener('abort', abort)
        })
      })
    }
  }
  return network
}

/** The answer of a server that has not acted; `null` where it acts. */
function madeUp (fault: FaultKind | undefined, dice: number): Response | null {
  const retryAfter = { 'retry-after': String(1 + Math.floor(dice * 30)) }

  switch (fault) {
    case '429':
      return reply(429, 'Too Many Requests', retryAfter)
    case '500':
      return reply(500, 'Internal Server Error')
    case '503':
      return reply(503, 'Service Unavailable', dice < 0.5 ? retryAfter : {})
    case 'portal':
      return reply(200, '<!doctype html><title>Welcome to the hotel</title>', {
        'content-type': 'text/html'
      })
    default:
      return null
  }
}

function reply (status: number, body: string, headers: Record<string, string> = {}): Response {
  return new Response(body, { status, headers: { 'content-type': 'text/plain', ...headers } })
}

/** The same answer, read to its end. */
function copyOf (
  { status, statusText, headers, url, redirected }: Response,
  content: ArrayBuffer
): Response {
  const isBare = [204, 205, 304].includes(status)
  const copy = new Response(isBare ? null : content, { status, statusText, headers })
  return Object.defineProperties(copy, { url: { value: url }, redirected: { value: redirected } })
}

function never (): Promise<never> {
  return new Promise(() => {})
}

// What may happen to a request.

/**
 * - `unsent`: the request is lost on its way; the server has not acted.
 * - `drop`: the server has acted, and its answer is lost.
 * - `hang`: the server has acted, and no answer ever comes.
 * - `delay`: the request takes up to `longestDelay` longer, and its answer up to four times that.
 * - `duplicate`: the request comes to the server twice, within `longestDelay`; the one answer or the other arrives.
 * - `reorder`: the request is overtaken by the next one, unless none comes within `longestDelay`.
 * - `429`, `500`, `503`: the server, or something before it, answers so, and has not acted. 429 has Retry-After, 503 sometimes.
 * - `504`: the server has acted, and a proxy says that it did not answer.
 * - `portal`: somebody else answers, with a page and 200; the server has not acted.
 * - `kill`: the answer arrives, and the tab is gone 0 to 20 ms later: perhaps before it has stored what it was given.
 */
export type FaultKind =
  | 'unsent'
  | 'drop'
  | 'hang'
  | 'delay'
  | 'duplicate'
  | 'reorder'
  | '429'
  | '500'
  | '503'
  | '504'
  | 'portal'
  | 'kill'

/** How often each kind happens, of one request; what is left out does not. Together at most 1. */
export type FaultRates = { readonly [Kind in FaultKind]?: number }

/** One request in six meets a fault. Nobody's network is as bad, and a test has no week to wait. */
export const defaultRates: FaultRates = {
  unsent: 0.02,
  drop: 0.03,
  hang: 0.01,
  delay: 0.02,
  duplicate: 0.01,
  reorder: 0.02,
  429: 0.01,
  500: 0.01,
  503: 0.01,
  504: 0.01,
  portal: 0.005,
  kill: 0.005
}

/** What has happened. Holds no token: of a request its method and URL alone. */
export interface LogEntry {
  /** Milliseconds since the beginning. */
  readonly at: number
  /** How many steps had been taken. */
  readonly step: number
  readonly what:
    | 'action'
    | 'request'
    | 'answer'
    | 'failure'
    | 'acted'
    | 'killed'
    | 'offline'
    | 'online'
    | 'healed'
  /** The name of an action; the number of a tab, such as `tab 2`. */
  readonly who: string
  /** For requests: their method and URL, and a number to find their answer by. */
  readonly request?: string
  readonly fault?: FaultKind
  /** Of an answer. */
  readonly status?: number
}
