// A process of its own for the server and one for the load, each on a core of its own where there are enough: what one uses up
// must not be taken from the other. They are called like functions, over Node's own channel between processes.

import { execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'

interface Call {
  readonly call: number
  readonly name: string
  readonly input: unknown
}
interface Answer {
  readonly answerTo: number
  readonly output?: unknown
  readonly error?: string
}

export interface Process {
  /** Calls a function of that process by its name. */
  call<Output>(name: string, input?: unknown): Promise<Output>
  stop(): Promise<void>
}

/** Whether processes can be bound to a core. */
export const canPin = availableParallelism() >= 2 && (() => {
  try {
    execFileSync('taskset', ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
})()

/** @param file A module of this folder. */
export function startProcess (file: string, core: number): Process {
  const command = [
    process.execPath,
    '--import',
    'tsx',
    fileURLToPath(new URL(file, import.meta.url))
  ]
  const [executable, ...args] = canPin ? ['taskset', '-c', String(core), ...command] : command
  const child = spawn(executable as string, args, {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    // Express and better-auth behave otherwise elsewhere.
    env: { ...process.env, NODE_ENV: 'production' }
  })
  return callable(child, file)
}

function callable (child: ChildProcess, file: string): Process {
  const waiting = new Map<number, { resolve(output: unknown): void, reject(error: Error): void }>()
  let calls = 0
  const gone = new Promise<void>(resolve => {
    child.once('exit', () => {
      resolve()
    })
  })
  child.on('message', (message: Answer) => {
    const { answerTo, output, error } = message
    const caller = waiting.get(answerTo)
    waiting.delete(answerTo)

    if (error === undefined) {
      caller?.resolve(output)
    } else {
      caller?.reject(new Error(`${file}: ${error}`))
    }
  })
  child.once('exit', (code, signal) => {
    for (const { reject } of waiting.values()) {
      reject(new Error(`${file} ended with ${code ?? signal}`))
    }
  })
  child.once('error', error => {
    for (const { reject } of waiting.values()) {
      reject(error)
    }
  })

  return {
    call: <Output>(name: string, input?: unknown) =>
      new Promise<Output>((resolve, reject) => {
        const call = calls++
        waiting.set(call, {
          resolve: output => {
            resolve(output as Output)
          },
          reject
        })
        child.send({ call, name, input } satisfies Call)
      }),
    async stop () {
      // It ends by itself when its parent goes, and at once here: its connections need no farewell.
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGKILL')
      }

      await gone
    }
  }
}

/** The other side: these functions can be called by the parent. Ends with its parent. */
export function answerCalls (
  functions: Readonly<Record<string, (input: never) => Promise<unknown>>>
): void {
  process.on('message', ({ call, name, input }: Call) => {
    const answer = async (): Promise<unknown> => await functions[name]?.(input as never)
    answer().then(
      output => {
        process.send?.({ answerTo: call, output } satisfies Answer)
      },
      (error: unknown) => {
        process.send?.(
          {
            answerTo: call,
            error: error instanceof Error ? String(error.stack) : String(error)
          } satisfies Answer
        )
      }
    )
  })
  process.once('disconnect', () => {
    process.exit()
  })
}
