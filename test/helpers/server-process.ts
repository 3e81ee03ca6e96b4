import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { createChildEnv } from './child-env.js'

export interface ServerProcess {
  readonly url: string
  /** Stops the process, as a debugger or a frozen container does. */
  pause(): void
  /** Continues a stopped process. */
  resume(): void
  /** Kills the process immediately. */
  kill(): Promise<void>
  /** Closes the app, and waits until the process exits. */
  close(): Promise<void>
}

/** Settings of a server process. */
export interface ServerSettings {
  readonly isThrottled?: boolean
  /** Name of the registration. */
  readonly name?: string
}

/** Starts server.ts in a child process, with a SQLite file as its database. */
export async function startServer (
  file: string,
  settings: ServerSettings = {}
): Promise<ServerProcess> {
  const script = fileURLToPath(new URL('server.ts', import.meta.url))
  const child = spawn(process.execPath, [
    '--import',
    'tsx',
    script,
    file,
    JSON.stringify(settings)
  ], {
    env: createChildEnv(),
    stdio: ['pipe', 'pipe', 'inherit']
  })
  const ended = once(child, 'exit')
  const lines = createInterface({ input: child.stdout })
  const first = await Promise.race([
    once(lines, 'line'),
    ended.then(() => {
      throw new Error('the server did not start')
    })
  ])

  return {
    url: first[0] as string,
    pause () {
      child.kill('SIGSTOP')
    },
    resume () {
      child.kill('SIGCONT')
    },
    async kill () {
      child.kill('SIGKILL')
      await ended
    },
    async close () {
      child.stdin.end()
      await ended
    }
  }
}
