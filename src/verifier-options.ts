// The options of services that issue nothing, documented where they are typed.

import type { KeyAlgorithm } from './credentials/key-pairs.js'
import type { Millis } from './domain/session.js'
import type { Duration } from './durations.js'
import type { DpopOptions } from './oauth-options.js'

/** What others can verify: no secrets among them (RFC 8725 section 3.1). */
export type PublicAlgorithm = Extract<KeyAlgorithm, 'EdDSA' | 'ES256' | 'PS256' | 'RS256'>

export interface VerifierDpopOptions extends DpopOptions {
  /**
   * Whether tokens that are bound to no key are refused.
   * @default false
   */
  readonly required?: boolean
  /**
   * What nonces are made from, the same at all instances of this service: 32 random bytes or more. Where there is none, proofs
   * need no nonce.
   * @default `introspection.clientSecret`
   */
  readonly secret?: string | Uint8Array
}

export interface TokenVerifierOptions {
  /**
   * Where the issuer shows its public keys (RFC 7517), such as `'https://auth.example.org/.well-known/jwks.json'`. By https, or by
   * http on this machine; redirects are not followed. Either this or `introspection`.
   */
  readonly jwksUri?: string | URL

  /**
   * Asks the issuer about each token in place of reading its keys: slower, and a session that was ended is refused here after
   * `maxAge`. The issuer's app needs `oauth`, but no `keys`.
   */
  readonly introspection?: {
    /** Of the issuer's route `introspect`, such as `'https://auth.example.org/auth/introspect'`; as `jwksUri` otherwise. */
    readonly uri: string | URL
    /** One of the issuer's `oauth.clients`, with a secret. */
    readonly clientId: string
    readonly clientSecret: string
    /**
     * How long an answer is believed, a minute at most. `0` asks at every request.
     * @default '10s'
     */
    readonly maxAge?: Duration
  }

  /**
   * Accepts tokens that are bound to a key, with a proof of it (DPoP, RFC 9449). Behind a proxy it takes `trustProxy`, or
   * `publicUrl`, to know which address the client has asked.
   * @default off: tokens that are bound are refused
   */
  readonly dpop?: VerifierDpopOptions | boolean

  /**
   * What stands before the paths of this app for its clients, such as `'https://example.org/api'`, where a proxy changes paths.
   * @default what the request says
   */
  readonly publicUrl?: string

  /** The `iss` of its tokens, as the issuer's option `issuer` says it. */
  readonly issuer: string

  /** The `aud` of its tokens, or one of them, as the issuer's option `audience` says it. */
  readonly audience: string

  /**
   * The `realm` of challenges. Letters, digits, `-` and `_`.
   * @default 'auth'
   */
  readonly name?: string

  /**
   * Which algorithms are accepted; a key for another one is as if it were not there.
   * @default ['EdDSA', 'ES256', 'PS256', 'RS256']
   */
  readonly algorithms?: readonly [PublicAlgorithm, ...PublicAlgorithm[]]

  /**
   * How many verified tokens are remembered, about 1 kB each. A remembered token is checked at once, in a microsecond or two;
   * another one by jose, in a third of a millisecond, beside the event loop.
   * @default 10_000
   */
  readonly cacheSize?: number

  /**
   * How long the issuer may take to answer, a minute at most. Who waits for it is answered 503 then.
   * @default '5s'
   */
  readonly timeout?: Duration

  /**
   * How long after it was read the key set is not read again for a token that names a key which it does not hold: such a token is
   * 401 meanwhile. So a storm of them stays here. From a second to `maxAge`.
   * @default '30s'
   */
  readonly cooldown?: Duration

  /**
   * How long the key set is believed, a day at most. A key that the issuer has taken away is good here for that long, and for as
   * long as caches between here and there keep the set. It is read again from half of that on, with nobody waiting; once it is
   * older, and the issuer cannot be reached, all is 503.
   * @default '10m'
   */
  readonly maxAge?: Duration

  /**
   * Stands in for the time. Milliseconds.
   * @default Date.now
   */
  readonly clock?: () => Millis
}
