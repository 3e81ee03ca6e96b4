import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath, pathToFileURL } from 'node:url'

type Outcome = { readonly result: unknown } | { readonly error: string }

/**
 * Calls an exported function in a new process, and returns its result.
 *
 * Neither the heap nor the event loop of one measurement affects the next one. Arguments and result
 * travel as JSON.
 *
 * @param flags Additional options of Node.js, for example `--expose-gc`.
 */
export async function callInChildProcess<Result> (
  moduleUrl: string,
  functionName: string,
  args: readonly unknown[],
  flags: readonly string[] = []
): Promise<Result> {
  const script = fileURLToPath(import.meta.url)
  const child = fork(script, [moduleUrl, functionName, JSON.stringify(args)], {
    execArgv: [...process.execArgv, ...flags]
  })
  const outcomes: Outcome[] = []
  child.on('message', outcome => {
    outcomes.push(outcome as Outcome)
  })
  const [code] = await once(child, 'close') as [number | null]
  const [outcome] = outcomes

  if (outcome === undefined) {
    throw new Error(`${functionName} exited with code ${code} and without a result`)
  }

  if ('error' in outcome) {
    throw new Error(outcome.error)
  }

  return outcome.result as Result
}

async function main (
  [moduleUrl = '', functionName = '', args = '[]']: readonly string[]
): Promise<void> {
  const outcome: Outcome = await callFunction(moduleUrl, functionName, JSON.parse(args))
    .then(
      result => ({ result }),
      (error: unknown) => ({ error: error instanceof Error ? String(error.stack) : String(error) })
    )
  process.send?.(outcome, () => {
    process.disconnect()
  })
}

async function callFunction (
  moduleUrl: string,
  functionName: string,
  args: readonly unknown[]
): Promise<unknown> {
  const exports = await import(moduleUrl) as Record<string, (...args: unknown[]) => unknown>
  return exports[functionName]?.(...args)
}

if (process.send !== undefined && import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  // Not awaited: the called module imports this one, and would wait for it forever.
  void main(process.argv.slice(2))
}
