import { DEFAULT_PREFIX, getChannel } from './keys.js'
import type { RedisStoreOptions } from './keys.js'

/** Part of an ioredis connection that {@link listenForRevocations} uses. */
export interface IoredisSubscriber {
  subscribe(channel: string): Promise<unknown>
  unsubscribe(channel: string): Promise<unknown>
  on(event: 'message', listener: (channel: string) => void): unknown
  off(event: 'message', listener: (channel: string) => void): unknown
}

/** Part of a connected node-redis client that {@link listenForRevocations} uses. */
export interface NodeRedisSubscriber {
  readonly evalSha: unknown
  subscribe(channel: string, listener: () => void): Promise<unknown>
  unsubscribe(channel: string, listener: () => void): Promise<unknown>
}

/**
 * Notifies other instances of a logout immediately, with SUBSCRIBE. For `revocations.subscribe`.
 *
 * Requires a connection of its own, which the app opens and closes: Redis rejects most commands on
 * a connection that has subscribed.
 *
 * @param options - The same ones as those of the store.
 *
 * @example
 * ```ts
 * revocations: { subscribe: listenForRevocations(redis.duplicate()) }
 * ```
 */
export function listenForRevocations (
  subscriber: IoredisSubscriber | NodeRedisSubscriber,
  { prefix = DEFAULT_PREFIX }: RedisStoreOptions = {}
): (poll: () => void) => Promise<() => Promise<unknown>> {
  const channel = getChannel(prefix)

  return async poll => {
    if ('evalSha' in subscriber) {
      const onMessage = (): void => {
        poll()
      }

      await subscriber.subscribe(channel, onMessage)
      return () => subscriber.unsubscribe(channel, onMessage)
    }

    const onMessage = (from: string): void => {
      if (from === channel) {
        poll()
      }
    }

    subscriber.on('message', onMessage)
    await subscriber.subscribe(channel)

    return () => {
      subscriber.off('message', onMessage)
      return subscriber.unsubscribe(channel)
    }
  }
}
