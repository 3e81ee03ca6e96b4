import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { childEnv } from './child-env.js'

export interface ServerProcess {
  readonly url: string
  /** Ends it at once, in the middle of whatever it does. */
  kill(): Promise<void>
  /** Lets it close its app. */
  close(): Promise<void>
}

/** Starts server.ts in a process of its own. */
export async function startServer (file: string, isThrottled = false): Promise<ServerProcess> {
  const script = fileURLToPath(new URL('server.ts', import.meta.url))
  const child = spawn(process.execPath, [
    '--import',
    'tsx',
    script,
    file,
    ...isThrottled ? ['throttled'] : []
  ], {
    env: childEnv(),
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
