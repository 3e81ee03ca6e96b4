// A database program that is started for one run, dies as in a power cut, and comes back.

import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { ABSENCE } from './settings.js'

const START_LIMIT = 30_000

/** Thrown where a program is not installed. */
export class MissingProgramError extends Error {}

export interface DaemonOptions {
  readonly program: string
  readonly args: readonly string[]
  /** Rejects until the program answers. */
  readonly isReady: () => Promise<unknown>
  /** What ends it before it can tidy up. */
  readonly deadly?: NodeJS.Signals
  readonly user?: { readonly uid: number, readonly gid: number }
}

export class Daemon {
  readonly #options: DaemonOptions
  #child: ChildProcess | undefined
  #isOver = false

  constructor (options: DaemonOptions) {
    this.#options = options
  }

  async start (): Promise<void> {
    // A restart that was under way when all ended must leave nothing behind.
    if (this.#isOver) {
      throw new Error('The run has ended.')
    }

    const { program, args, user: { uid, gid } = {}, isReady } = this.#options
    const child = spawn(program, args, { stdio: 'ignore', ...(uid !== undefined && { uid, gid }) })
    this.#child = child
    const failed = once(child, 'exit').then(([code]) => {
      throw new Error(`${program} ended with ${code}`)
    }, refuse(program))
    failed.catch(() => {})
    await Promise.race([until(isReady), failed])
  }

  async restart (): Promise<void> {
    await this.#kill()
    await sleep(ABSENCE)
    await this.start()
  }

  /** Ends it for good. */
  async end (): Promise<void> {
    this.#isOver = true
    await this.#kill()
  }

  async #kill (): Promise<void> {
    const child = this.#child

    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) {
      return
    }

    const ended = once(child, 'exit')
    child.kill(this.#options.deadly ?? 'SIGKILL')
    await ended
  }
}

/** For `catch`: tells a program that is not there from one that fails. */
export function refuse (program: string): (error: unknown) => never {
  return error => {
    if ((error as { code?: unknown }).code === 'ENOENT') {
      throw new MissingProgramError(`${program} is not installed`)
    }

    throw error
  }
}

/** Tries again until it works, for a bounded time. */
export async function until (attempt: () => unknown): Promise<void> {
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
