// The options for stock OAuth clients and for proofs of possession, documented where they are typed.

import type { OAuthClient } from '../oauth/clients.js'
import { defaultPaths } from '../protocol.js'
import type { AttemptStore } from '../stores/attempt-store.js'
import { findWeakness } from '../tokens/key-derivation.js'
import type { TokenAuthOptions } from './options.js'
import { assert, isFunction, rejectUnknownKeys } from './validate.js'

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

// Checks the options for stock OAuth clients and for proofs of possession.

export interface ResolvedOAuth {
  readonly issuer: string
  readonly clients: readonly OAuthClient[]
  /** Where the metadata is, unless the app says otherwise. */
  readonly metadataPath: string
  /** What stands before the paths of routes. */
  readonly baseUrl: string
}

export interface ResolvedDpop {
  readonly required: boolean
  readonly nonces: boolean
  /** `null` where this process alone remembers. */
  readonly replays: AttemptStore | null
}

const clientIdForm = /^[\x21-\x7e]{1,255}$/
const secretForm = /^[\x21-\x7e]*$/
const attemptVerbs = ['consume', 'refund', 'reset', 'sweep'] as const

/** @throws TypeError that names the option and the fix */
export function resolveOAuth (
  { oauth, issuer, publicUrl, refreshToken }: TokenAuthOptions,
  name: string
): ResolvedOAuth | null {
  if (publicUrl !== undefined) {
    assert(
      isBaseUrl(publicUrl) && !publicUrl.endsWith('/'),
      'publicUrl must be https://, a host and perhaps a path, without "/" at its end'
    )
  }

  if (oauth === undefined) {
    return null
  }

  rejectUnknownKeys(oauth, ['clients'], 'oauth.')
  assert(
    issuer !== undefined && isBaseUrl(issuer),
    'oauth needs issuer to be an address such as "https://auth.example.org": https (http on this machine alone), without query and fragment'
  )
  assert(refreshToken !== false, 'oauth is about refresh tokens: take away refreshToken: false')
  const { origin, pathname } = new URL(issuer)
  // Doubled, a colon is one, and begins no parameter of a route.
  const metadataPath = `${defaultPaths.metadata}${
    pathname.replace(/\/$/, '').replaceAll(':', '::')
  }`

  return {
    issuer,
    clients: checkClients(oauth.clients, name),
    metadataPath,
    baseUrl: publicUrl ?? origin
  }
}

function checkClients (clients: readonly OAuthClient[], name: string): readonly OAuthClient[] {
  assert(
    Array.isArray(clients) && clients.length > 0,
    'oauth.clients must be a list of clients, such as [{ clientId: "app" }]'
  )

  for (const [i, client] of clients.entries()) {
    const path = `oauth.clients[${i}]`
    rejectUnknownKeys(client, ['clientId', 'clientSecret'], `${path}.`)
    const { clientId, clientSecret } = client
    assert(
      typeof clientId === 'string' && clientIdForm.test(clientId),
      `${path}.clientId must be printable ASCII without spaces, 255 characters at most`
    )
    assert(
      clientId !== name,
      `${path}.clientId must not be the name of the registration: tokens of the app's own sessions say that`
    )

    if (!Object.hasOwn(client, 'clientSecret')) {
      continue
    }

    const weakness = typeof clientSecret !== 'string'
      ? 'is missing'
      : secretForm.test(clientSecret)
      ? findWeakness(clientSecret)
      : 'is not printable ASCII without spaces'
    assert(
      weakness === null,
      `${path}.clientSecret ${
        weakness ?? ''
      }: use a random one, such as \`openssl rand -base64 48\` prints`
    )
  }

  assert(
    new Set(clients.map(({ clientId }) => clientId)).size === clients.length,
    'oauth.clients holds a clientId twice'
  )
  return clients
}

/** @throws TypeError that names the option and the fix */
export function resolveDpop (given: DpopOptions | boolean | undefined): ResolvedDpop | null {
  if (given === undefined || given === false) {
    return null
  }

  const options = given === true ? {} : given
  rejectUnknownKeys(options, ['required', 'nonces', 'replays'], 'dpop.')
  const { required = false, nonces = true, replays = null } = options

  for (const [option, value] of Object.entries({ required, nonces })) {
    assert(typeof value === 'boolean', `dpop.${option} must be true or false`)
  }

  assert(
    replays === null || attemptVerbs.every(verb => isFunction(replays[verb])),
    'dpop.replays must be an AttemptStore, such as new RedisAttempts(client) from fastify-token-auth/redis'
  )
  return { required, nonces, replays }
}

/** Whether paths can be put behind it: an address by https, or by http on this machine, without query and fragment. */
export function isBaseUrl (text: unknown): boolean {
  // What a URL parser puts right, others compare as it was typed.
  if (typeof text !== 'string' || !/^https?:\/\/[^/]/.test(text) || !URL.canParse(text)) {
    return false
  }

  const url = new URL(text)
  const isPlain = url.username === '' && url.password === '' && !/[?#\\\s]/.test(text)
  return isPlain && (url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url)))
}

/** */
export function isLoopback ({ hostname }: URL): boolean {
  return /^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname)
}
