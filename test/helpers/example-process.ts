import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { createChildEnv } from './child-env.js'
import { root } from './consumer.js'

/** Example in a child process. */
export interface ExampleProcess {
  readonly child: ChildProcess
  /** URL that the example printed when it listened. */
  readonly url: string
  /** Lines that the example has printed. */
  readonly output: readonly string[]
  /**
   * Sends SIGTERM, and waits until the process has exited.
   *
   * @returns Exit code and signal.
   */
  stop(): Promise<[number | null, NodeJS.Signals | null]>
}

/**
 * Starts an example on an unused port, and waits until it listens.
 *
 * @param script Path below `examples/`, with optional arguments.
 * @param env Variables that are added to those of this process.
 */
export async function startExample (
  t: { teardown(callback: () => unknown): unknown },
  script: string | readonly string[],
  env: Record<string, string> = {}
): Promise<ExampleProcess> {
  const [file, ...args] = [script].flat()
  const child = spawn(process.execPath, ['--import', 'tsx', `examples/${file}`, ...args], {
    cwd: root,
    env: createChildEnv({ PORT: '0', ...env }),
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const exited = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>
  const output: string[] = []

  const stop = async (): Promise<[number | null, NodeJS.Signals | null]> => {
    child.kill()
    return exited
  }

  t.teardown(stop)
  const url = await new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', line => {
      output.push(line)
      const [, found] = /listen\w* (?:at|on|behind) (http:\/\/127\.0\.0\.1:\d+)/.exec(line) ?? []

      if (found !== undefined) {
        resolve(found)
      }
    })
    exited.then(() => {
      reject(new Error(`example ${file} did not start: ${output.join('\n')}`))
    }, reject)
  })
  return { child, url, output, stop }
}

/** User of most examples. */
export const ann = { username: 'ann', password: 'correct horse' }

/**
 * Logs in to an example with a form.
 *
 * @returns The access token.
 */
export async function login (
  url: string,
  path = '/auth/login',
  credentials: Record<string, string> = ann
): Promise<string> {
  const body = new URLSearchParams(credentials)
  const response = await fetch(url + path, { method: 'POST', body })
  const { access_token: token } = await response.json() as { access_token: string }
  return token
}

/** Sends a request with an access token. */
export function callWithToken (url: string, token: string, method = 'GET'): Promise<Response> {
  return fetch(url, { method, headers: { authorization: `Bearer ${token}` } })
}
