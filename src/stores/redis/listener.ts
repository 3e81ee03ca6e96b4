import { channelOf, DEFAULT_PREFIX } from './scripts.js'
import type { RedisStoreOptions } from './store.js'

/** The part of an ioredis connection that listening needs. */
export interface IoredisSubscriber {
  subscribe(channel: string): Promise<unknown>
  unsubscribe(channel: string): Promise<unknown>
  on(event: 'message', listener: (channel: string) => void): unknown
  off(event: 'message', listener: (channel: string) => void): unknown
}

/** The part of a connected node-redis client that listening needs. */
export interface NodeRedisSubscriber {
  readonly evalSha: unknown
  subscribe(channel: string, listener: () => void): Promise<unknown>
  unsubscribe(channel: string, listener: () => void): Promise<unknown>
}

/**
 * For `revocations.wake`: other instances hear of a logout at once, by SUBSCRIBE. Takes a connection of its own
 * (`client.duplicate()`), which the app opens and ends: Redis refuses most commands on one that has subscribed.
 *
 * @param options - those of the store.
 */
export function listenForRevocations (
  subscriber: IoredisSubscriber | NodeRedisSubscriber,
  { prefix = DEFAULT_PREFIX }: RedisStoreOptions = {}
): (poll: () => void) => Promise<() => Promise<unknown>> {
  const channel = channelOf(prefix)

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
