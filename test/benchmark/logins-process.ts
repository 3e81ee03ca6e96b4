// A process of the benchmark of logins, on a core of its own where the machine lets us: hashing goes on in threads, and those of
// one that may use every core would compete with the load generator, in one comparison more than in another.

import { spawn, spawnSync } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'

export interface BenchmarkProcess {
  /** What it said when it was ready. */
  readonly ready: unknown
  /** Sends a message, and waits for the answer to it. One at a time. */
  ask(message: object): Promise<unknown>
  stop(): void
}

export const canPin = availableParallelism() >= 2 &&
  ['0', '1'].every(core =>
    spawnSync('taskset', ['-c', core, process.execPath, '--version']).status === 0
  )

/** Starts a module beside this one. It sends a message when it is ready, and one in answer to each that it gets. */
export async function startProcess (
  file: string,
  core: 0 | 1,
  args: readonly string[] = []
): Promise<BenchmarkProcess> {
  const node = [
    process.execPath,
    '--import',
    import.meta.resolve('tsx'),
    fileURLToPath(new URL(file, import.meta.url)),
    ...args
  ]
  const [command, ...rest] = canPin ? ['taskset', '-c', String(core), ...node] : node
  const child = spawn(command as string, rest, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })

  const answer = (): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const ended = (): void => {
        reject(new Error(`${file} has ended`))
      }

      child.once('error', reject)
      child.once('exit', ended)
      child.once('message', message => {
        child.off('error', reject)
        child.off('exit', ended)
        resolve(message)
      })
    })

  return {
    ready: await answer(),
    ask: message => {
      const answered = answer()
      child.send(message)
      return answered
    },
    stop: () => {
      child.kill()
    }
  }
}

/** The other side: answers each message. A failure ends the process, since a benchmark that fails has no figures. */
export function serve<T> (ready: object, answer: (message: T) => object | Promise<object>): void {
  process.on('message', message => {
    void Promise.resolve(answer(message as T)).then(result => {
      process.send?.(result)
    })
  })
  process.once('disconnect', () => {
    process.exit()
  })
  process.send?.(ready)
}

/** How many a second, by the times at which each was done: from the first to the last, so that no part of one is lost. */
export function rateOf (times: readonly number[]): number {
  const [first, last] = [times[0], times.at(-1)]

  if (first === undefined || last === undefined || times.length < 2) {
    throw new Error('Too few to make a rate: measure for longer')
  }

  return (times.length - 1) / (last - first) * 1000
}
