// The server processes, each on a port of its own, and started again whenever it ends.

import { spawn } from 'node:child_process'
import type { ChildProcessByStdio } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const script = fileURLToPath(new URL('server.ts', import.meta.url))
const START_LIMIT = 60_000
const CLOSE_LIMIT = 5000

type Child = ChildProcessByStdio<Writable, Readable, null>

export type ServerEvent = { readonly event: string } & Readonly<Record<string, unknown>>

export class Server {
  readonly url: string
  readonly #args: readonly string[]
  readonly #log: string
  readonly #hear: (event: ServerEvent) => void
  #child: Child | undefined
  #isUp = false
  #since = Date.now()
  /** The longest that it was away, in milliseconds. */
  longestAway = 0
  #expected = false
  #killed = false
  /** How often it ended although nobody had killed it. */
  deaths = 0
  /** How often it gave up before it listened, since its database was away. */
  falseStarts = 0

  constructor (
    engine: string,
    databaseUrl: string,
    port: number,
    folder: string,
    hear: (event: ServerEvent) => void
  ) {
    this.url = `http://127.0.0.1:${port}`
    this.#args = ['--import', 'tsx', script, engine, databaseUrl, String(port)]
    this.#log = join(folder, `server-${port}.log`)
    this.#hear = hear
    this.#start()
  }

  get isUp (): boolean {
    return this.#isUp
  }

  /** Waits until it listens. */
  async ready (): Promise<void> {
    const limit = Date.now() + START_LIMIT

    while (!this.#isUp) {
      if (Date.now() > limit) {
        throw new Error(`a server did not start:\n${this.log()}`)
      }

      await sleep(20)
    }
  }

  /** Ends it in the middle of whatever it does; it comes back by itself. */
  async kill (): Promise<void> {
    const child = this.#child as Child
    this.#isUp = false
    this.#since = Date.now()
    this.#killed = true
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  }

  async close (): Promise<void> {
    this.#expected = true
    const child = this.#child as Child

    if (child.exitCode !== null || child.signalCode !== null) {
      return
    }

    const ended = once(child, 'exit')
    child.stdin.end()
    const late = sleep(CLOSE_LIMIT, undefined, { ref: false }).then(() => {
      child.kill('SIGKILL')
    })
    await Promise.race([ended, late])
    await ended
  }

  /** The last words of its log. */
  log (): string {
    return readFileSync(this.#log, 'utf8').trimEnd().split('\n').slice(-8).join('\n')
  }

  #start (): void {
    const log = openSync(this.#log, 'a')
    const child = spawn(process.execPath, this.#args, {
      stdio: ['pipe', 'pipe', log]
    }) as unknown as Child
    closeSync(log)
    this.#child = child
    child.stdin.on('error', () => {})
    createInterface({ input: child.stdout }).on('line', line => {
      const event = JSON.parse(line) as ServerEvent

      if (event.event === 'listening') {
        this.#arrive()
      } else {
        this.#hear(event)
      }
    })
    child.on('exit', () => {
      void this.#leave()
    })
  }

  #arrive (): void {
    this.#isUp = true
    this.longestAway = Math.max(this.longestAway, Date.now() - this.#since)
  }

  // A server that does not find its database gives up, and whoever supervises it tries again.
  async #leave (): Promise<void> {
    if (this.#isUp) {
      this.deaths++
    } else if (!this.#killed) {
      this.falseStarts++
    }

    this.#isUp = false
    this.#killed = false
    await sleep(100)

    if (!this.#expected) {
      this.#start()
    }
  }
}

/**
 * Ports below those that the system hands out, so that no client takes the port of a server while
 * it starts again.
 */
export async function freePorts (count: number): Promise<number[]> {
  const ports = new Set<number>()

  while (ports.size < count) {
    const port = 15_000 + Math.floor(Math.random() * 15_000)

    if (await isFree(port)) {
      ports.add(port)
    }
  }

  return [...ports]
}

async function isFree (port: number): Promise<boolean> {
  const probe = createServer()
  const free = await new Promise<boolean>(resolve => {
    probe.once('error', () => {
      resolve(false)
    })
    probe.listen(port, '127.0.0.1', () => {
      resolve(true)
    })
  })

  if (free) {
    await new Promise(resolve => {
      probe.close(resolve)
    })
  }

  return free
}
