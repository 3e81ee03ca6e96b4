// The demo as a user starts it: a process of its own, on a port and a database of its own.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { childEnv } from './child-env.js'
import { root } from './consumer.js'

export interface DemoProcess {
  readonly url: string
  /** All that it has printed. */
  printed(): string
}

/** @param env What the demo's settings are; see its server.ts. */
export async function startDemoProcess (
  t: { teardown(end: () => unknown): unknown },
  env: Record<string, string> = {}
): Promise<DemoProcess> {
  const folder = mkdtempSync(join(tmpdir(), 'token-auth-demo-'))
  const child = spawn(process.execPath, ['--import', 'tsx', 'examples/demo/server.ts'], {
    cwd: root,
    env: childEnv({ PORT: '0', DEMO_DATABASE: join(folder, 'demo.db'), ...env }),
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
  return { url, printed: () => printed }
}
