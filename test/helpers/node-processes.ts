import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { build } from 'esbuild'
import { root } from './consumer.js'

interface Teardown {
  teardown(end: () => unknown): unknown
}

/** A script in a child process, which starts in 50 ms because it is compiled before. */
export interface ScriptProcess {
  readonly pid: number
  /** Lines that the process has printed. */
  readonly lines: readonly string[]
  /** Resolves to the exit code and the signal. */
  readonly ended: Promise<[number | null, NodeJS.Signals | null]>
  pause(): void
  resume(): void
  kill(): Promise<unknown>
}

/** Bundles a script and everything it imports. Returns the path of the result. */
export async function bundleScript (file: string, folder: string): Promise<string> {
  const outfile = join(folder, 'script.mjs')
  await build({
    entryPoints: [join(root, file)],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20'
  })
  return outfile
}

/** Starts a bundled script. */
export function startScript (
  t: Teardown,
  script: string,
  args: readonly string[] = [],
  env: Record<string, string> = {}
): ScriptProcess {
  const child = spawn(process.execPath, [script, ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const ended = once(child, 'exit') as ScriptProcess['ended']
  const lines: string[] = []
  createInterface({ input: child.stdout }).on('line', line => lines.push(line))

  const kill = (): Promise<unknown> => {
    child.kill('SIGKILL')
    return ended
  }

  t.teardown(kill)

  return {
    pid: child.pid as number,
    lines,
    ended,
    kill,
    pause: () => child.kill('SIGSTOP'),
    resume: () => child.kill('SIGCONT')
  }
}

/** Finds the process that has the lock of a file storage at this moment, if there is one. */
export function findLockOwner (
  file: string,
  processes: readonly ScriptProcess[]
): ScriptProcess | undefined {
  try {
    const [name = ''] = readdirSync(join(`${file}.lock`, 'held'))
    return processes.find(({ pid }) => name.split('.')[1] === String(pid))
  } catch {
    return undefined
  }
}
