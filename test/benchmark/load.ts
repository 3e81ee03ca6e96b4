// The process that puts load on a server: it keeps a number of connections busy, presents the tokens in turn or follows each
// chain of refresh tokens, and looks at every answer. It is called as processes.ts says.

import { Client, requestsOf } from './client.js'
import type { Work } from './contestants/contestant.js'
import { answerCalls } from './processes.js'

/** Until a time has passed, and at least that many requests were answered. */
export interface Stretch {
  readonly ms: number
  readonly least: number
}

interface Target {
  readonly port: number
  readonly work: Work
  /** Of fixed tokens, their requests, written once. */
  readonly requests: readonly Buffer[]
  /** Of chains, the token that each is at. */
  readonly chains: string[]
  readonly write: (token: string) => string
  clients: Client[]
  turn: number
}

const targets = new Map<string, Target>()

answerCalls({
  async aim ({ target, port, work }: { target: string, port: number, work: Work }) {
    const write = requestsOf(work, port)
    const isChain = work.next !== undefined
    const requests = isChain ? [] : work.tokens.map(token => Buffer.from(write(token)))
    targets.set(target, {
      port,
      work,
      requests,
      chains: isChain ? [...work.tokens] : [],
      write,
      clients: [],
      turn: 0
    })
  },
  // Apart from `run`, so that what connections cost is not measured.
  async connect ({ target, connections }: { target: string, connections: number }) {
    const { port, clients } = find(target)

    while (clients.length < connections) {
      clients.push(new Client(port))
    }
  },
  async disconnect ({ target }: { target: string }) {
    const found = find(target)

    for (const client of found.clients) {
      client.close()
    }

    found.clients = []
  },
  /** @returns How many requests were answered, and answered rightly: another answer ends it. */
  async run ({ target, ms, least }: { target: string } & Stretch) {
    const found = find(target)
    const state = { count: 0, until: performance.now() + ms, least }
    const keepBusy = found.work.next === undefined ? takeTurns : followChain
    const rest = stayAwake()
    await Promise.all(found.clients.map(async (client, i) => {
      await keepBusy(found, client, i, state)
    }))
    rest()
    return state.count
  }
})

// To wake a process that sleeps is paid for by whoever writes to it: 20 us an answer. A fast server would keep this process awake
// anyway, and a slower one would not.
function stayAwake (): () => void {
  let turn = setImmediate(function again () {
    turn = setImmediate(again)
  })

  return () => {
    clearImmediate(turn)
  }
}

interface State {
  count: number
  readonly until: number
  readonly least: number
}

function isOver ({ count, until, least }: State): boolean {
  return count >= least && performance.now() >= until
}

async function takeTurns (
  target: Target,
  client: Client,
  _index: number,
  state: State
): Promise<void> {
  const { requests, work: { proof } } = target

  while (!isOver(state)) {
    const request = requests[target.turn++ % requests.length] as Buffer
    check(await client.send(request), proof)
    state.count++
  }
}

async function followChain (
  target: Target,
  client: Client,
  index: number,
  state: State
): Promise<void> {
  const { chains, write, work: { proof, next } } = target
  const before = `"${next}":"`

  while (!isOver(state)) {
    const answer = await client.send(write(chains[index] as string))
    check(answer, proof)
    const start = answer.indexOf(before) + before.length
    chains[index] = answer.slice(start, answer.indexOf('"', start))
    state.count++
  }
}

function check (answer: string, proof: string): void {
  if (!answer.startsWith('HTTP/1.1 200 ') || !answer.includes(proof)) {
    throw new Error(`A wrong answer: ${answer}`)
  }
}

function find (target: string): Target {
  const found = targets.get(target)

  if (found === undefined) {
    throw new Error(`There is no ${target}`)
  }

  return found
}
