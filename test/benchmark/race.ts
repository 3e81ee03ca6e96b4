// Servers side by side: each in a process of its own, alive for the whole race and idle between its turns. Alive, since making
// 100,000 tokens and warming up takes longer than measuring does; that costs the others nothing, because what is counted is the
// CPU time of the one server alone: requests answered for each second of it, however much the load or other processes disturb.

import { existsSync } from 'node:fs'
import { Client, requestsOf } from './client.js'
import type { Sample, Setup, Started, Work } from './contestants/contestant.js'
import { startProcess } from './processes.js'
import type { Process } from './processes.js'
import { compare, isBrief } from './rounds.js'
import type { Comparison, Contestant, Effort } from './rounds.js'
import type { Place } from './server.js'

export const CONNECTIONS = 64
// Milliseconds.
const SETTLE = 100
// Microseconds of the server's CPU time: until then, code that runs once a request is still being compiled, and is seen to be.
const WARM_UP = 3e6

export interface Entrant {
  readonly place: Place
  readonly setup: Setup
  /** Which of those before it this one resembles; see {@link Setup.like}. */
  readonly like?: string
}

interface Runner extends Started {
  readonly server: Process
}

/** What must be installed for the peers that this package itself has no use for. */
export const hasPeers = existsSync(new URL('peers/node_modules/better-auth', import.meta.url))

/** Checks all, lets them run in turns, and checks them again. */
export async function race (
  entrants: Readonly<Record<string, Entrant>>,
  effort: Effort
): Promise<Comparison> {
  const load = startProcess('load.ts', 1)
  const runners = new Map<string, Runner>()
  const samples = new Map<string, Sample>()
  const processes = [load]

  try {
    for (const [name, { place, setup, like }] of Object.entries(entrants)) {
      const server = startProcess('server.ts', 0)
      processes.push(server)
      const sample = like === undefined ? undefined : samples.get(like)
      const started = await server.call<Started>('start', {
        place,
        setup: sample === undefined ? setup : { ...setup, like: sample }
      })
      runners.set(name, { ...started, server })
      samples.set(name, await checkBefore(name, started))
      await load.call('aim', { target: name, port: started.port, work: started.work })
      await warmUp(load, name, { ...started, server }, effort)
    }

    const contestants = [...runners].map(([name, runner]) =>
      [name, contestantOf(load, name, runner, effort)] as const
    )
    const comparison = await compare(Object.fromEntries(contestants), effort)

    for (const [name, runner] of runners) {
      await checkAfter(name, runner)
    }

    return comparison
  } finally {
    await Promise.all(processes.map(async process => {
      await process.stop()
    }))
  }
}

// Each token is presented once at least: one that is refused ends it here. Then until the server has worked for long enough to be
// compiled and settled: in its own CPU time, since on a busy machine a second may be a tenth of one.
async function warmUp (
  load: Process,
  target: string,
  { server, work: { next, tokens } }: Runner,
  { ms }: Effort
): Promise<void> {
  const enough = await server.call<number>('cpu') + (isBrief({ ms }) ? 0 : WARM_UP)
  await load.call('connect', { target, connections: CONNECTIONS })
  await load.call('run', {
    target,
    ms: Math.min(SETTLE, ms),
    least: next === undefined ? tokens.length : CONNECTIONS
  })

  while (await server.call<number>('cpu') < enough) {
    await load.call('run', { target, ms: SETTLE, least: CONNECTIONS })
  }

  await load.call('disconnect', { target })
}

function contestantOf (
  load: Process,
  target: string,
  { server }: Runner,
  { ms }: Effort
): Contestant {
  return async () => {
    await load.call('connect', { target, connections: CONNECTIONS })
    await load.call('run', { target, ms: Math.min(SETTLE, ms), least: CONNECTIONS })
    // Nothing is under way at these two moments, so what was answered and what was used belong to each other.
    const before = await server.call<number>('cpu')
    const begun = performance.now()
    const count = await load.call<number>('run', { target, ms, least: CONNECTIONS })
    const passed = performance.now() - begun
    const used = (await server.call<number>('cpu') - before) / 1e6
    await load.call('disconnect', { target })
    const [rate, busy] = [Math.round(count / used), Math.round(used / passed * 1e5)]
    process.stderr.write(
      `  ${target}: ${rate.toLocaleString('en')} requests per CPU second, ${busy} % of a core\n`
    )
    return count / used
  }
}

async function checkBefore (name: string, { port, work }: Started): Promise<Sample> {
  // Of chains, one more than there are connections: a spare one for this.
  const presented = work.tokens.at(-1) as string
  const answer = await checkGood(name, port, work, presented)
  const [head = '', body = ''] = answer.split('\r\n\r\n')
  await checkRefused(name, port, work, tamperedWith(presented))

  if (work.next !== undefined) {
    // Once its successor was used too: until then, some may say that the answer was lost.
    await checkGood(
      name,
      port,
      work,
      (JSON.parse(body) as Record<string, string>)[work.next] as string
    )
    await checkRefused(name, port, work, presented)
  }

  return { presented, answer: body, headers: headersIn(head) }
}

// But for those that Node and Fastify write.
function headersIn (head: string): Record<string, string> {
  const pairs = head.split('\r\n').slice(1).map(line => line.split(': ') as [string, string])

  return Object.fromEntries(
    pairs.filter(([name]) => !/^(content-(type|length)|date|connection|keep-alive)$/i.test(name))
  )
}

async function checkAfter (name: string, { port, work }: Runner): Promise<void> {
  const first = work.tokens[0] as string
  await checkRefused(name, port, work, tamperedWith(first))

  if (work.next === undefined) {
    await checkGood(name, port, work, first)
  } else {
    await checkRefused(name, port, work, first)
  }
}

async function checkGood (name: string, port: number, work: Work, token: string): Promise<string> {
  const answer = await ask(port, work, token)

  if (statusOf(answer) !== 200 || !answer.includes(work.proof)) {
    throw new Error(`${name} refuses a good token: ${answer}`)
  }

  return answer
}

async function checkRefused (name: string, port: number, work: Work, token: string): Promise<void> {
  if (work.refusal === null) {
    return
  }

  const answer = await ask(port, work, token)

  if (statusOf(answer) !== work.refusal || answer.includes(work.proof)) {
    throw new Error(`${name} takes a bad token: ${answer}`)
  }
}

async function ask (port: number, work: Work, token: string): Promise<string> {
  const client = new Client(port)
  const answer = await client.send(requestsOf(work, port)(token))
  client.close()
  return answer
}

function statusOf (answer: string): number {
  return Number.parseInt(answer.slice('HTTP/1.1 '.length), 10)
}

// In the signature of a JWT, or in the value of the first cookie.
function tamperedWith (token: string): string {
  const at = token.includes('=') ? token.indexOf('=') + 3 : token.length - 20
  return token.slice(0, at) + (token[at] === 'A' ? 'B' : 'A') + token.slice(at + 1)
}
