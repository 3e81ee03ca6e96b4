import { describeError, SafeError } from './safe-error.js'
import { limitTime } from './time-limit.js'
import { SECOND } from './time.js'
import type { Millis } from './time.js'

/** Connection of a {@link ReconnectingListener}. */
export interface ListenerConnection {
  /** Connects and subscribes. */
  subscribe(): Promise<unknown>
  /** Sends a message to which the server responds. */
  ping(): Promise<unknown>
  /** Closes the connection without waiting for the server. Called once. */
  close(): void
}

/** Callbacks of a connection. Calls after its end have no effect. */
export interface ListenerEvents {
  /** Called for each notification. */
  onMessage(): void
  onLost(error: unknown): void
}

/** The methods of a logger that a listener calls. */
export interface ListenerLogger {
  /** Logs that there is no connection. */
  warn(facts: object, message: string): void
  /** Logs that there is a connection after a failure. */
  info(facts: object, message: string): void
}

/** Settings and callbacks of a {@link ReconnectingListener}. */
export interface ListenerContext {
  /** Plural noun that names the notifications in log lines, such as `revocations`. */
  readonly topic: string
  /** Creates a connection, which `subscribe` then connects. */
  readonly open: (events: ListenerEvents) => ListenerConnection | Promise<ListenerConnection>
  /** Called for each notification, and after each connect, because notifications may be lost. */
  readonly onMessage: () => void
  readonly logger: ListenerLogger
}

const CONNECT_TIMEOUT: Millis = 5 * SECOND
const PING_INTERVAL: Millis = 3 * SECOND
const PING_TIMEOUT: Millis = 3 * SECOND
const MIN_DELAY: Millis = 100
const MAX_DELAY: Millis = 2 * SECOND

/**
 * Keeps a connection open that receives notifications of a database.
 *
 * Replaces a lost connection after a pause of 0.05 to 2 s, which grows with each failure. Pings
 * detect a connection that does not respond. Logs once that the connection failed, and once that
 * it works again.
 */
export class ReconnectingListener {
  readonly #context: ListenerContext
  #connection: ListenerConnection | null = null
  #timer: NodeJS.Timeout | undefined
  #failures = 0
  #isClosed = false

  constructor (context: ListenerContext) {
    this.#context = context
  }

  /** Tries to connect. Also resolves if that fails, and tries again later. */
  async connect (): Promise<void> {
    const { open, onMessage } = this.#context
    const losses: unknown[] = []
    let connection: ListenerConnection | null = null
    const isCurrent = (): boolean => connection !== null && this.#connection === connection

    try {
      connection = await open({
        onMessage: () => {
          if (isCurrent()) {
            onMessage()
          }
        },
        onLost: error => {
          losses.push(error)

          if (isCurrent()) {
            this.#lose(error)
          }
        }
      })
      await waitFor(CONNECT_TIMEOUT, connection.subscribe())
    } catch (error) {
      losses.push(error)
    }

    // The server may close a connection while it subscribes.
    if (connection === null || losses.length > 0 || this.#isClosed) {
      connection?.close()
      this.#retry(losses[0])
      return
    }

    this.#use(connection)
    onMessage()
  }

  /** Closes the connection. Cancels a planned reconnect. */
  close (): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
    this.#connection?.close()
    this.#connection = null
  }

  #use (connection: ListenerConnection): void {
    this.#connection = connection
    this.#reportReturn()
    this.#schedulePing(connection)
  }

  #lose (error: unknown): void {
    clearTimeout(this.#timer)
    this.#connection?.close()
    this.#connection = null
    this.#retry(error)
  }

  #retry (error: unknown): void {
    if (this.#isClosed) {
      return
    }

    const { logger, topic } = this.#context

    if (this.#failures === 0) {
      logger.warn(
        { cause: describeError(error, false) },
        `no connection for pushed ${topic}; ${topic} are polled`
      )
    }

    const delay = Math.min(MAX_DELAY, MIN_DELAY * 2 ** this.#failures)
    this.#failures++
    // Instances that lost the same server must not reconnect at the same moment.
    this.#timer = setTimeout(() => {
      void this.connect()
    }, delay * (0.5 + Math.random() / 2)).unref()
  }

  #reportReturn (): void {
    const { logger, topic } = this.#context

    if (this.#failures > 0) {
      logger.info({}, `connected for pushed ${topic}`)
    }

    this.#failures = 0
  }

  #schedulePing (connection: ListenerConnection): void {
    this.#timer = setTimeout(() => {
      waitFor(PING_TIMEOUT, connection.ping()).then(() => {
        if (this.#connection === connection) {
          this.#schedulePing(connection)
        }
      }, (error: unknown) => {
        if (this.#connection === connection) {
          this.#lose(error)
        }
      })
    }, PING_INTERVAL).unref()
  }
}

function waitFor (timeout: Millis, work: Promise<unknown>): Promise<unknown> {
  return limitTime(timeout, work, () => new SafeError('no response'))
}
