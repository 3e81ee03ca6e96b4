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

/** Server process with its own port, which restarts whenever it exits. */
export class Server {
  readonly url: string
  readonly #args: readonly string[]
  readonly #log: string
  readonly #onEvent: (event: ServerEvent) => void
  #child: Child | undefined
  #isUp = false
  #downSince = Date.now()
  /** Longest time without a listening process, in milliseconds. */
  longestDowntime = 0
  #isClosing = false
  #isKilled = false
  /** Number of exits without a kill. */
  crashes = 0
  /** Number of exits before listening, because the database was down. */
  failedStarts = 0

  constructor (
    engine: string,
    databaseUrl: string,
    port: number,
    folder: string,
    onEvent: (event: ServerEvent) => void
  ) {
    this.url = `http://127.0.0.1:${port}`
    this.#args = ['--import', 'tsx', script, engine, databaseUrl, String(port)]
    this.#log = join(folder, `server-${port}.log`)
    this.#onEvent = onEvent
    this.#start()
  }

  get isUp (): boolean {
    return this.#isUp
  }

  /** Waits until the process listens. */
  async waitUntilReady (): Promise<void> {
    const limit = Date.now() + START_LIMIT

    while (!this.#isUp) {
      if (Date.now() > limit) {
        throw new Error(`a server did not start:\n${this.log()}`)
      }

      await sleep(20)
    }
  }

  /** Kills the process. It restarts automatically. */
  async kill (): Promise<void> {
    const child = this.#child as Child
    this.#isUp = false
    this.#downSince = Date.now()
    this.#isKilled = true
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
  }

  async close (): Promise<void> {
    this.#isClosing = true
    const child = this.#child as Child

    if (child.exitCode !== null || child.signalCode !== null) {
      return
    }

    const exited = once(child, 'exit')
    child.stdin.end()
    const killed = sleep(CLOSE_LIMIT, undefined, { ref: false }).then(() => {
      child.kill('SIGKILL')
    })
    await Promise.race([exited, killed])
    await exited
  }

  /** Returns the last 8 lines of the log. */
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
        this.#handleListening()
      } else {
        this.#onEvent(event)
      }
    })
    child.on('exit', () => {
      void this.#handleExit()
    })
  }

  #handleListening (): void {
    this.#isUp = true
    this.longestDowntime = Math.max(this.longestDowntime, Date.now() - this.#downSince)
  }

  // A server without a database exits, so this class restarts it as a supervisor would.
  async #handleExit (): Promise<void> {
    if (this.#isUp) {
      this.crashes++
    } else if (!this.#isKilled) {
      this.failedStarts++
    }

    this.#isUp = false
    this.#isKilled = false
    await sleep(100)

    if (!this.#isClosing) {
      this.#start()
    }
  }
}

/**
 * Finds free ports below the ephemeral range.
 *
 * Otherwise a client connection could occupy the port of a server while it restarts.
 */
export async function findFreePorts (count: number): Promise<number[]> {
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
