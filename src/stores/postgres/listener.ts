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
 * @example
 * ```ts
 * const client = new pg.Client()
 * await client.connect()
 * revocations: { subscribe: listenForRevocations(client) }
 * ```
 */
export function listenForRevocations (
  client: PostgresListener
): (poll: () => void) => Promise<() => Promise<unknown>> {
  return async poll => {
    const onNotification = ({ channel }: { readonly channel: string }): void => {
      if (channel === CHANNEL) {
        poll()
      }
    }

    client.on('notification', onNotification)
    await client.query(`LISTEN ${CHANNEL}`)

    return async () => {
      client.off('notification', onNotification)
      await client.query(`UNLISTEN ${CHANNEL}`).catch(() => {})
    }
  }
}
