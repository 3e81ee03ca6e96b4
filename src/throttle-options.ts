// How often somebody may be wrong.

import type { Duration } from './durations.js'
import type { AttemptStore } from './stores/attempt-store.js'

/**
 * Logins whose password is wrong, counted by account and by address before a password is hashed: who has tried too often gets 429
 * AUTH_TOO_MANY_ATTEMPTS with `Retry-After`. A login that succeeds never counts, nor does a refresh with an authentic token. A
 * device that its user has logged in on before, known by a cookie or by `device_token`, counts by itself, so that no
 * stranger can keep it out.
 *
 * An attempt counts while its password is being checked: of one account ten at once are looked at, and no more.
 */
export interface ThrottleOptions {
  /**
   * Where attempts are counted, such as `new PostgresAttempts(pool)` of `fastify-token-auth/attempts/postgres`. By default each
   * instance counts for itself, and three of them let through three times as many.
   * @default in memory
   */
  readonly attempts?: AttemptStore
  /**
   * By account, whether it is there or not: after `free` failures running the next one waits a second, each further one twice as
   * long, up to an hour. After `most` there is no other one until nobody has tried for `forget`, or `passwordChanged` is
   * called. A login ends the count, and so does `forget`.
   * @default { free: 10, most: 100, forget: '1d' }
   */
  readonly account?: { readonly free?: number, readonly most?: number, readonly forget?: Duration } | false
  /**
   * By address, of IPv6 by its first 64 bits: `most` failures `within` a time, whatever the accounts. Behind a proxy
   * set Fastify's `trustProxy`, or everybody has one address. Refresh tokens that were never issued count apart, by the
   * same rule, in each process.
   * @default { most: 100, within: '15m' }
   */
  readonly address?: { readonly most?: number, readonly within?: Duration } | false
}
