import { execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'

interface Call {
  readonly id: number
  readonly functionName: string
  readonly input: unknown
}

interface CallResult {
  readonly id: number
  readonly output?: unknown
  readonly error?: string
}

interface PendingCall {
  resolve(output: unknown): void
  reject(error: Error): void
}

/** A process whose functions can be called. */
export interface CallableProcess {
  call<Output>(functionName: string, input?: unknown): Promise<Output>
  stop(): Promise<void>
}

/** Whether processes can be bound to a core. */
export const canPinProcesses = availableParallelism() >= 2 && (() => {
  try {
    execFileSync('taskset', ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
})()

/**
 * Starts a module in a process of its own, bound to a core if possible.
 *
 * Server and load have a core each, so that one does not take CPU time from the other.
 */
export function startProcess (
  moduleUrl: URL,
  core: 0 | 1,
  args: readonly string[] = []
): CallableProcess {
  const script = fileURLToPath(moduleUrl)
  const command = [process.execPath, '--import', 'tsx', script, ...args]
  const [executable, ...rest] = canPinProcesses
    ? ['taskset', '-c', String(core), ...command]
    : command
  const child = spawn(executable as string, rest, {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    // Express and better-auth are slower in other environments.
    env: { ...process.env, NODE_ENV: 'production' }
  })
  return createCallableProcess(child, script)
}

function createCallableProcess (child: ChildProcess, script: string): CallableProcess {
  const pendingCalls = new Map<number, PendingCall>()
  let callCount = 0
  const exited = new Promise<void>(resolve => {
    child.once('exit', () => {
      resolve()
    })
  })

  const rejectAll = (error: Error): void => {
    for (const { reject } of pendingCalls.values()) {
      reject(error)
    }
  }

  child.on('message', ({ id, output, error }: CallResult) => {
    const pendingCall = pendingCalls.get(id)
    pendingCalls.delete(id)

    if (error === undefined) {
      pendingCall?.resolve(output)
    } else {
      pendingCall?.reject(new Error(`${script}: ${error}`))
    }
  })
  child.once('exit', (code, signal) => {
    rejectAll(new Error(`${script} exited with ${code ?? signal}`))
  })
  child.once('error', rejectAll)

  return {
    call: <Output>(functionName: string, input?: unknown) =>
      new Promise<Output>((resolve, reject) => {
        const id = callCount++
        pendingCalls.set(id, {
          resolve: output => {
            resolve(output as Output)
          },
          reject
        })
        child.send({ id, functionName, input } satisfies Call)
      }),
    async stop () {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGKILL')
      }

      await exited
    }
  }
}

/** Lets the parent process call the functions. Exits with the parent process. */
export function handleCalls (
  functions: Readonly<Record<string, (input: never) => Promise<unknown>>>
): void {
  process.on('message', ({ id, functionName, input }: Call) => {
    const call = async (): Promise<unknown> => await functions[functionName]?.(input as never)
    call().then(
      output => {
        process.send?.({ id, output } satisfies CallResult)
      },
      (error: unknown) => {
        const message = error instanceof Error ? String(error.stack) : String(error)
        process.send?.({ id, error: message } satisfies CallResult)
      }
    )
  })
  process.once('disconnect', () => {
    process.exit()
  })
}
