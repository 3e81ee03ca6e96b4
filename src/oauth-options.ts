// The options for stock OAuth clients and for proofs of possession, documented where they are typed.

import type { OAuthClient } from './service/clients.js'
import type { AttemptStore } from './stores/attempt-store.js'

export interface OAuthOptions {
  /**
   * Who may use the routes `token`, `revoke` and `introspect`. A session belongs to one of them where its login names it by
   * `client_id` (and `client_secret`, or HTTP Basic, where it has one), or `openSession` does; then its refresh token is good
   * there and at `logout` alone, and its access tokens are refused by `logout/all`, `sessions` and `me`.
   */
  readonly clients: readonly OAuthClient[]
}

export interface DpopOptions {
  /**
   * Whether a login without a proof is refused. Sessions that began without go on until they end, and `openSession` is not
   * asked for one.
   * @default false
   */
  readonly required?: boolean
  /**
   * Whether proofs must hold a nonce of this server, which tells it in `DPoP-Nonce` (RFC 9449 section 8). It is good for two
   * minutes. Without nonces a proof is good for a minute by its client's clock: one that is wrong keeps its user out.
   * @default true
   */
  readonly nonces?: boolean
  /**
   * Where proofs that were seen are remembered, such as `new RedisAttempts(client)`: of several instances, each refuses what
   * another has seen, at the price of a question for each request.
   * @default in this process: 100,000 of them, which is what comes in four minutes at 400 requests a second
   */
  readonly replays?: AttemptStore
}
