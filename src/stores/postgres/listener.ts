import { ReconnectingListener } from '../../lib/reconnecting-listener.js'
import type { ListenerLogger } from '../../lib/reconnecting-listener.js'
import { addPrefix } from '../sql/table-prefix.js'
import type { SqlStoreOptions } from '../sql/table-prefix.js'
import { CHANNEL } from './functions.js'

/** Part of a `pg.Client` that {@link listenForRevocations} uses. */
export interface PostgresListener {
  /** Connects to the database. */
  connect(): Promise<unknown>
  /** Runs one statement. */
  query(text: string): Promise<unknown>
  /** Closes the connection. */
  end(): Promise<unknown>
  /** Calls the listener for each notification. */
  on(
    event: 'notification',
    listener: (notification: { readonly channel: string }) => void
  ): unknown
  /** Calls the listener if the connection fails. */
  on(event: 'error', listener: (error: Error) => void): unknown
  /** Calls the listener when the connection is closed. */
  on(event: 'end', listener: () => void): unknown
}

/**
 * Creates a subscriber for `revocations.subscribe`, which uses LISTEN. A logout then reaches other
 * instances immediately.
 *
 * A pool, or a pooler in transaction mode, does not work. If the connection is lost or does not
 * respond for 3 s, another client is opened. Revocations are polled after each connect, so that
 * none is missed.
 *
 * @param open - Creates a client that is not connected yet. The listener connects and closes it.
 * @param options - The same ones as those of the store.
 *
 * @throws TypeError if `open` is not a function.
 *
 * @example
 * ```ts
 * revocations: { subscribe: listenForRevocations(() => new pg.Client(config)) }
 * ```
 */
export function listenForRevocations (
  open: () => PostgresListener | Promise<PostgresListener>,
  options: SqlStoreOptions = {}
): (poll: () => void, logger: ListenerLogger) => Promise<() => void> {
  if (typeof open !== 'function') {
    throw new TypeError(
      'fastify-token-auth: "open" must be a function that creates a client, ' +
        'such as () => new pg.Client(config)'
    )
  }

  const [ownChannel] = addPrefix([CHANNEL], options) as [string]

  return async (poll, logger) => {
    const listener = new ReconnectingListener({
      topic: 'revocations',
      logger,
      onMessage: poll,
      async open ({ onMessage, onLost }) {
        const client = await open()
        client.on('error', onLost)
        client.on('end', () => {
          onLost(null)
        })
        client.on('notification', ({ channel }) => {
          if (channel === ownChannel) {
            onMessage()
          }
        })

        return {
          async subscribe () {
            await client.connect()
            await client.query(`LISTEN ${ownChannel}`)
          },
          ping: () => client.query('SELECT 1'),
          close () {
            client.end().catch(() => {})
          }
        }
      }
    })
    await listener.connect()

    return () => {
      listener.close()
    }
  }
}
