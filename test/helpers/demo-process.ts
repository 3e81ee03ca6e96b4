import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { createChildEnv } from './child-env.js'
import { root } from './consumer.js'

export interface DemoProcess {
  readonly url: string
  /** Returns the output so far. */
  getOutput(): string
}

/**
 * Starts the demo with its own port and database.
 *
 * @param env Settings of examples/demo/server.ts.
 */
export async function startDemoProcess (
  t: { teardown(end: () => unknown): unknown },
  env: Record<string, string> = {}
): Promise<DemoProcess> {
  const folder = mkdtempSync(join(tmpdir(), 'token-auth-demo-'))
  const child = spawn(process.execPath, ['--import', 'tsx', 'examples/demo/server.ts'], {
    cwd: root,
    env: createChildEnv({ PORT: '0', DEMO_DATABASE: join(folder, 'demo.db'), ...env }),
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const ended = once(child, 'exit')
  t.teardown(async () => {
    child.kill()
    await ended
    rmSync(folder, { recursive: true, force: true })
  })
  let printed = ''
  const url = await new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', line => {
      printed += `${line}\n`
      const found = /listens on (\S+)\. Open that in a browser/.exec(line)?.[1]

      if (found !== undefined) {
        resolve(found)
      }
    })
    ended.then(() => {
      reject(new Error(`the demo did not start: ${printed}`))
    }, reject)
  })
  return { url, getOutput: () => printed }
}
