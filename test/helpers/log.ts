import { Writable } from 'node:stream'
import type { FastifyServerOptions } from 'fastify'

/** Line of a log, as pino writes it. */
export interface LogLine {
  readonly level: number
  readonly msg: string
  readonly [fact: string]: unknown
}

/** Log of an app in memory. */
export interface TestLog {
  /** Options of Fastify that write to this log. */
  readonly fastify: FastifyServerOptions
  /** Lines of level `warn` and above that were written since the last call. */
  takeWarnings(): LogLine[]
  /** All lines as text. */
  readonly text: string
}

/** Creates a log in memory. */
export function createLog (): TestLog {
  const lines: LogLine[] = []
  let read = 0
  const stream = new Writable({
    write (line, _encoding, done) {
      lines.push(JSON.parse(String(line)) as LogLine)
      done()
    }
  })

  return {
    fastify: { logger: { level: 'info', stream } } as FastifyServerOptions,
    takeWarnings () {
      const added = lines.slice(read)
      read = lines.length
      return added.filter(({ level }) => level >= 40)
    },
    get text () {
      return lines.map(line => JSON.stringify(line)).join('\n')
    }
  }
}

/** Logger that drops its lines. */
export const silentLogger = { error () {}, warn () {}, info () {} }
