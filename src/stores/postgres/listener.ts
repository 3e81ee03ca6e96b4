import { CHANNEL } from './statements.js'

/** The part of a connected `pg.Client` that listening needs. */
export interface PostgresListener {
  query(text: string): Promise<unknown>
  on(event: 'notification', listener: (notification: { readonly channel: string }) => void): unknown
  off(
    event: 'notification',
    listener: (notification: { readonly channel: string }) => void
  ): unknown
}

/**
 * For `revocations.wake`: other instances hear of a logout at once, by LISTEN. Takes a connected client of its own, which the app
 * opens, watches and ends: a pool, or a pooler in transaction mode, will not do.
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
