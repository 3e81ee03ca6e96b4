/**
 * Stores for Redis, and the listener for revocations of other instances.
 *
 * @module fastify-token-auth/redis
 */

export { RedisStore } from './store.js'
export type { RedisStoreOptions } from './keys.js'
export type { IoredisClient, NodeRedisClient, RedisClient } from './client.js'
export { RedisAttempts } from './attempts.js'
export { listenForRevocations } from './listener.js'
export type { ListenerLogger } from '../../lib/reconnecting-listener.js'
export type { IoredisSubscriber, NodeRedisSubscriber, RedisSubscriber } from './listener.js'
