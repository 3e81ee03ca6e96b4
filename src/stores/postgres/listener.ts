import { addPrefix } from '../sql/table-prefix.js'
import type { SqlStoreOptions } from '../sql/table-prefix.js'
import { CHANNEL } from './functions.js'

/** Part of a connected `pg.Client` that {@link listenForRevocations} uses. */
export interface PostgresListener {
  query(text: string): Promise<unknown>
  on(event: 'notification', listener: (notification: { readonly channel: string }) => void): unknown
  off(
    event: 'notification',
    listener: (notification: { readonly channel: string }) => void
  ): unknown
}

/**
 * Notifies other instances of a logout immediately, with LISTEN. For `revocations.subscribe`.
 *
 * Requires a connected client of its own, which the app opens, watches and closes. A pool or a
 * pooler in transaction mode does not work.
 *
 * @param options - The same ones as those of the store.
 *
 * @example
 * ```ts
 * const client = new pg.Client()
 * await client.connect()
 * revocations: { subscribe: listenForRevocations(client) }
 * ```
 */
export function listenForRevocations (
  client: PostgresListener,
  options: SqlStoreOptions = {}
): (poll: () => void) => Promise<() => Promise<unknown>> {
  const [channel] = addPrefix([CHANNEL], options) as [string]

  return async poll => {
    const onNotification = (notification: { readonly channel: string }): void => {
      if (notification.channel === channel) {
        poll()
      }
    }

    client.on('notification', onNotification)
    await client.query(`LISTEN ${channel}`)

    return async () => {
      client.off('notification', onNotification)
      await client.query(`UNLISTEN ${channel}`).catch(() => {})
    }
  }
}
