import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { FunctionEvent, FunctionResult } from './handler.js'

interface Message {
  readonly result?: unknown
  readonly error?: string
}

/** A process of a serverless platform: it runs during invocations only. */
export interface FrozenProcess {
  /** Continues the process, lets it handle one event, and stops it after the result. */
  invoke(event: FunctionEvent): Promise<FunctionResult>
  /** Lets it run the handler of the schedule. */
  sweep(): Promise<{ readonly deleted: number }>
  stop(): void
}

/** Starts a process that is stopped (SIGSTOP) between two invocations. */
export function startFrozenProcess (env: NodeJS.ProcessEnv = process.env): FrozenProcess {
  const script = fileURLToPath(new URL('worker.ts', import.meta.url))
  const child = fork(script, { execArgv: ['--import', 'tsx'], env })
  let last: Promise<unknown> = Promise.resolve()
  child.on('error', () => {})

  function run (task: object): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const onExit = (): void => {
        reject(new Error('the process has ended'))
      }

      child.once('exit', onExit)
      child.once('message', ({ result, error }: Message) => {
        child.off('exit', onExit)
        child.kill('SIGSTOP')
        error === undefined ? resolve(result) : reject(new Error(error))
      })
      child.kill('SIGCONT')
      child.send(task)
    })
  }

  // A process handles one event at a time.
  function queue (task: object): Promise<unknown> {
    const current = last.then(() => run(task))
    last = current.catch(() => {})
    return current
  }

  return {
    invoke: event => queue({ event }) as Promise<FunctionResult>,
    sweep: () => queue({ sweep: true }) as Promise<{ deleted: number }>,
    stop: () => {
      child.kill('SIGKILL')
    }
  }
}
