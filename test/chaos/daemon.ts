import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { ENGINE_DOWNTIME } from './settings.js'

const START_LIMIT = 30_000

/** Thrown if a program is not installed. */
export class MissingProgramError extends Error {}

export interface DaemonOptions {
  readonly program: string
  readonly args: readonly string[]
  /** Rejects until the program accepts connections. */
  readonly isReady: () => Promise<unknown>
  /** Signal that stops the program without a clean shutdown. `SIGKILL` by default. */
  readonly killSignal?: NodeJS.Signals
  readonly user?: { readonly uid: number, readonly gid: number }
}

/** Database server that one run starts, kills and restarts. */
export class Daemon {
  readonly #options: DaemonOptions
  #child: ChildProcess | undefined
  #isStopped = false

  constructor (options: DaemonOptions) {
    this.#options = options
  }

  async start (): Promise<void> {
    // A pending restart must not start the program after the run.
    if (this.#isStopped) {
      throw new Error('the run has ended')
    }

    const { program, args, user: { uid, gid } = {}, isReady } = this.#options
    const child = spawn(program, args, { stdio: 'ignore', ...(uid !== undefined && { uid, gid }) })
    this.#child = child
    const failed = once(child, 'exit').then(([code]) => {
      throw new Error(`${program} exited with ${code}`)
    }, rethrowIfMissing(program))
    failed.catch(() => {})
    await Promise.race([retry(isReady), failed])
  }

  async restart (): Promise<void> {
    await this.#kill()
    await sleep(ENGINE_DOWNTIME)
    await this.start()
  }

  /** Stops the program permanently. */
  async stop (): Promise<void> {
    this.#isStopped = true
    await this.#kill()
  }

  async #kill (): Promise<void> {
    const child = this.#child

    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) {
      return
    }

    const exited = once(child, 'exit')
    child.kill(this.#options.killSignal ?? 'SIGKILL')
    await exited
  }
}

/** Creates a `catch` callback that throws a `MissingProgramError` if the program does not exist. */
export function rethrowIfMissing (program: string): (error: unknown) => never {
  return error => {
    if ((error as { code?: unknown }).code === 'ENOENT') {
      throw new MissingProgramError(`${program} is not installed`)
    }

    throw error
  }
}

/** Repeats an attempt until it succeeds, for at most 30 s. */
export async function retry (attempt: () => unknown): Promise<void> {
  const limit = Date.now() + START_LIMIT

  for (;;) {
    try {
      await attempt()
      return
    } catch (error) {
      if (Date.now() > limit) {
        throw error
      }

      await sleep(50)
    }
  }
}
