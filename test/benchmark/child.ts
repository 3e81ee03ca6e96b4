// Calls a function in a process of its own, so that neither the heap nor the event loop of one measurement weighs on the next.

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath, pathToFileURL } from 'node:url'

type Answer = { readonly result: unknown } | { readonly error: string }

/**
 * What `name`, a function that the module exports, answers to those arguments in a new process. Both travel as JSON.
 *
 * @param flags More options of node, such as `--expose-gc`.
 */
export async function callInChild<T> (
  module: string,
  name: string,
  values: readonly unknown[],
  flags: readonly string[] = []
): Promise<T> {
  const child = fork(fileURLToPath(import.meta.url), [module, name, JSON.stringify(values)], {
    execArgv: [...process.execArgv, ...flags]
  })
  const answers: Answer[] = []
  child.on('message', answer => {
    answers.push(answer as Answer)
  })
  const [code] = await once(child, 'close') as [number | null]
  const [answer] = answers

  if (answer === undefined) {
    throw new Error(`${name} ended without an answer (exit code ${code})`)
  }

  if ('error' in answer) {
    throw new Error(answer.error)
  }

  return answer.result as T
}

async function main ([module = '', name = '', values = '[]']: readonly string[]): Promise<void> {
  const answer: Answer = await call(module, name, JSON.parse(values) as unknown[])
    .then(
      result => ({ result }),
      (error: unknown) => ({ error: error instanceof Error ? String(error.stack) : String(error) })
    )
  process.send?.(answer, () => {
    process.disconnect()
  })
}

async function call (module: string, name: string, values: unknown[]): Promise<unknown> {
  const exported = await import(module) as Record<string, (...values: unknown[]) => unknown>
  return exported[name]?.(...values)
}

if (process.send !== undefined && import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  // Not awaited: the module that is called imports this one, and would wait for it for ever.
  void main(process.argv.slice(2))
}
