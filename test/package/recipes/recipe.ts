import { fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { createChildEnv } from '../../helpers/child-env.js'
import { root } from '../../helpers/consumer.js'
import type { Order } from './serve.js'

export interface StartedRecipe {
  readonly url: string
  /** Advances the clock of the server. */
  advance(by: number): Promise<void>
  /** Changes the record of a user, and returns it. */
  change(login: string, to: object): Promise<Record<string, unknown>>
  /** Deletes expired sessions, and returns their number. */
  sweep(): Promise<number>
  /** Stops the recipe, and returns the warnings of its log. */
  close(): Promise<string[]>
}

/** Required settings of every recipe. */
export function createSecret (): { SECRET_KEY: string } {
  return { SECRET_KEY: randomBytes(32).toString('hex') }
}

/**
 * Starts a recipe in its own process.
 *
 * @param env - Environment variables in addition to those of this process and `SECRET_KEY`.
 * @param examples - Folder with the examples. Those of this repository by default.
 */
export async function startRecipe (
  t: Test,
  folder: string,
  env: Record<string, string> = {},
  examples = join(root, 'examples')
): Promise<StartedRecipe> {
  const script = fileURLToPath(new URL('serve.ts', import.meta.url))
  const child = fork(script, [join(examples, 'migrate-from', folder, 'server.ts')], {
    execArgv: ['--import', 'tsx'],
    env: createChildEnv({ ...createSecret(), ...env }),
    stdio: ['ignore', 'pipe', 'inherit', 'ipc']
  })
  t.teardown(() => {
    child.kill('SIGKILL')
  })
  const ended = once(child, 'exit').then(() => ({ result: undefined }))
  const warnings: string[] = []
  const log = createInterface({ input: child.stdout as NodeJS.ReadableStream })
  log.on('line', line => {
    const { level, msg } = JSON.parse(line) as { level: number, msg: string }

    if (level >= 40) {
      warnings.push(msg)
    }
  })
  const read = once(log, 'close')
  const hear = (): Promise<unknown> =>
    Promise.race([once(child, 'message').then(([message]) => message), ended])
      .then(message => (message as { result?: unknown }).result)

  const tell = (order: Order): Promise<unknown> => {
    child.send(order)
    return hear()
  }

  const url = await hear()

  if (url === undefined) {
    throw new Error(`the recipe ${folder} did not start`)
  }

  return {
    url: url as string,
    async advance (by) {
      await tell({ advance: by })
    },
    change: (login, to) => tell({ change: login, to }) as Promise<Record<string, unknown>>,
    sweep: () => tell('sweep') as Promise<number>,
    async close () {
      await tell('close')
      await Promise.all([ended, read])
      return warnings
    }
  }
}

/** Storage of one origin, which all tabs share. */
export class Storage {
  readonly #items = new Map<string, string>()
  getItem (key: string): string | null {
    return this.#items.get(key) ?? null
  }
  setItem (key: string, value: string): void {
    this.#items.set(key, value)
  }
  removeItem (key: string): void {
    this.#items.delete(key)
  }
}

/** Creates a `fetch` that loses responses of one path, after the server has handled the request. */
export function losing (lost: { path: string, times: number }): typeof fetch {
  return async (input, init) => {
    const response = await fetch(input, init)

    if (lost.times > 0 && new URL(String(input)).pathname === lost.path) {
      lost.times--
      await response.arrayBuffer()
      throw new TypeError('Failed to fetch')
    }

    return response
  }
}

/** Token of the replaced system: a JWT with an unknown key. */
export const oldToken =
  'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4iLCJleHAiOjQxMDI0NDQ4MDB9.' +
  'kq3mXGJ0wq1tqkq0m2Jd8o3F5nY7cU9aVbTzLr6sHxE'

export const risks = {
  rotation: '"rotation" is false: a stolen refresh token stays valid and unnoticed ' +
    'until its session expires',
  lifetime:
    '"accessToken.lifetime" is more than 1h: a stolen access token stays valid that long for ' +
    'services that do not see a logout'
}
