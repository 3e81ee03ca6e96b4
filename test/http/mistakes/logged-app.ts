import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import { tokenAuth } from '../../../src/index.js'
import type { TokenAuthOptions } from '../../../src/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { PASSWORD_HASH, SECRET } from '../../helpers/app.js'

/** A line of a log, as a developer sees it. */
export interface LogLine {
  readonly level: number
  readonly msg: string
  readonly [member: string]: unknown
}

/** An app that is not registered yet, and everything that it logs. */
export interface LoggedApp {
  readonly app: FastifyInstance
  readonly log: LogLine[]
}

/** Options of an app without a mistake. Tests override one of them. */
export const validOptions = {
  secret: SECRET,
  store: new MemoryStore(),
  users: {
    findByLogin: (login: string) =>
      login === 'ann' ? { id: '1', passwordHash: PASSWORD_HASH } : null,
    findById: (id: string) => id === '1' ? { id } : null
  }
}

/** Creates an app whose log is an array. */
export function createLoggedApp (): LoggedApp {
  const log: LogLine[] = []
  const app = Fastify({
    logger: {
      level: 'warn',
      stream: {
        write (line: string) {
          log.push(JSON.parse(line) as LogLine)
        }
      }
    }
  })
  return { app, log }
}

/** Registers the plugin with options that the types may forbid. Returns the error of the start. */
export async function startWrongly (given: object | undefined): Promise<Error> {
  const { app } = createLoggedApp()

  try {
    await app.register(tokenAuth, given as TokenAuthOptions)
    await app.ready()
  } catch (error) {
    return error as Error
  } finally {
    await app.close()
  }

  throw new Error('the app starts in spite of the mistake')
}
