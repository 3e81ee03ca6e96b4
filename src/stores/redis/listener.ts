import { ReconnectingListener } from '../../lib/reconnecting-listener.js'
import type {
  ListenerConnection,
  ListenerEvents,
  ListenerLogger
} from '../../lib/reconnecting-listener.js'
import { SafeError } from '../../lib/safe-error.js'
import { DEFAULT_PREFIX, getChannel } from './keys.js'
import type { RedisStoreOptions } from './keys.js'

/** Part of an ioredis connection that {@link listenForRevocations} uses. */
export interface IoredisSubscriber {
  /** State of the connection, such as `wait` or `ready`. */
  readonly status: string
  /** Connects to the server. */
  connect(): Promise<unknown>
  /** Closes the connection. */
  disconnect(): void
  /** Subscribes to a channel. */
  subscribe(channel: string): Promise<unknown>
  /** Checks that the connection responds. */
  ping(): Promise<unknown>
  /** Calls the listener for each message. */
  on(event: 'message', listener: (channel: string) => void): unknown
  /** Calls the listener if the connection fails. */
  on(event: 'error', listener: (error: Error) => void): unknown
  /** Calls the listener when the connection opens or closes. */
  on(event: 'ready' | 'close', listener: () => void): unknown
}

/** Part of a node-redis client that {@link listenForRevocations} uses. */
export interface NodeRedisSubscriber {
  /** Method that only clients of node-redis have. The listener does not call it. */
  readonly evalSha: unknown
  /** Whether the client is open: connected or connecting. */
  readonly isOpen: boolean
  /** Connects to the server. */
  connect(): Promise<unknown>
  /** Closes the connection. */
  destroy(): void
  /** Subscribes to a channel. */
  subscribe(channel: string, listener: () => void): Promise<unknown>
  /** Checks that the connection responds. */
  ping(): Promise<unknown>
  /** Calls the listener if the connection fails. */
  on(event: 'error', listener: (error: Error) => void): unknown
}

/** Client that {@link listenForRevocations} opens. */
export type RedisSubscriber = IoredisSubscriber | NodeRedisSubscriber

/**
 * Creates a subscriber for `revocations.subscribe`, which uses SUBSCRIBE. A logout then reaches
 * other instances immediately.
 *
 * Redis rejects most commands on a connection that has subscribed, so it needs a client of its own.
 * If the connection is lost or does not respond for 3 s, another client is opened. Revocations are
 * polled after each connect, so that none is missed.
 *
 * @param open - Creates a client, such as `redis.duplicate()`. The listener connects and closes it.
 * @param options - The same ones as those of the store.
 *
 * @throws TypeError if `open` is not a function.
 *
 * @example
 * ```ts
 * revocations: { subscribe: listenForRevocations(() => redis.duplicate()) }
 * ```
 */
export function listenForRevocations (
  open: () => RedisSubscriber | Promise<RedisSubscriber>,
  { prefix = DEFAULT_PREFIX }: RedisStoreOptions = {}
): (poll: () => void, logger: ListenerLogger) => Promise<() => void> {
  if (typeof open !== 'function') {
    throw new TypeError(
      'fastify-token-auth: "open" must be a function that creates a client, ' +
        'such as () => redis.duplicate()'
    )
  }

  const channel = getChannel(prefix)

  return async (poll, logger) => {
    const listener = new ReconnectingListener({
      topic: 'revocations',
      logger,
      onMessage: poll,
      async open (events) {
        const client = await open()
        client.on('error', events.onLost)

        return 'evalSha' in client
          ? createNodeRedisConnection(client, channel, events)
          : createIoredisConnection(client, channel, events)
      }
    })
    await listener.connect()

    return () => {
      listener.close()
    }
  }
}

function createNodeRedisConnection (
  client: NodeRedisSubscriber,
  channel: string,
  { onMessage }: ListenerEvents
): ListenerConnection {
  return {
    async subscribe () {
      if (!client.isOpen) {
        await client.connect()
      }

      await client.subscribe(channel, onMessage)
    },
    ping: () => client.ping(),
    close () {
      // The client rejects this if it has never been open.
      if (client.isOpen) {
        client.destroy()
      }
    }
  }
}

function createIoredisConnection (
  client: IoredisSubscriber,
  channel: string,
  { onMessage, onLost }: ListenerEvents
): ListenerConnection {
  client.on('message', from => {
    if (from === channel) {
      onMessage()
    }
  })

  return {
    async subscribe () {
      await waitUntilReady(client)
      client.on('close', () => {
        onLost(null)
      })
      await client.subscribe(channel)
    },
    ping: () => client.ping(),
    close () {
      client.disconnect()
    }
  }
}

// ioredis connects by itself, unless it has `lazyConnect`. Without its offline queue, it rejects
// commands until then.
async function waitUntilReady (client: IoredisSubscriber): Promise<void> {
  if (client.status === 'wait') {
    await client.connect()
    return
  }

  if (client.status !== 'ready') {
    await new Promise<void>((resolve, reject) => {
      client.on('ready', resolve)
      client.on('error', reject)
      client.on('close', () => {
        reject(new SafeError('the connection was closed'))
      })
    })
  }
}
