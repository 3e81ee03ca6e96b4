// Checks the options for stock OAuth clients and for proofs of possession.

import { weaknessOf } from './credentials/keys.js'
import type { DpopOptions } from './oauth-options.js'
import { allowOnly, demand, isFunction } from './option-checks.js'
import type { TokenAuthOptions } from './options.js'
import { defaultPaths } from './protocol.js'
import type { OAuthClient } from './service/clients.js'
import type { AttemptStore } from './stores/attempt-store.js'

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
const attemptVerbs = ['take', 'release', 'clear', 'sweep'] as const

/** @throws TypeError that names the option and the fix */
export function resolveOAuth (
  { oauth, issuer, publicUrl, refreshToken }: TokenAuthOptions, name: string
): ResolvedOAuth | null {
  if (publicUrl !== undefined) {
    demand(isBase(publicUrl) && !publicUrl.endsWith('/'), 'publicUrl must be https://, a host and perhaps a path, without "/" at its end')
  }
  if (oauth === undefined) return null
  allowOnly(oauth, ['clients'], 'oauth.')
  demand(issuer !== undefined && isBase(issuer),
    'oauth needs issuer to be an address such as "https://auth.example.org": https (http on this machine alone), without query and fragment')
  demand(refreshToken !== false, 'oauth is about refresh tokens: take away refreshToken: false')
  const { origin, pathname } = new URL(issuer)
  // Doubled, a colon is one, and begins no parameter of a route.
  const metadataPath = `${defaultPaths.metadata}${pathname.replace(/\/$/, '').replaceAll(':', '::')}`
  return { issuer, clients: checkClients(oauth.clients, name), metadataPath, baseUrl: publicUrl ?? origin }
}

function checkClients (clients: readonly OAuthClient[], name: string): readonly OAuthClient[] {
  demand(Array.isArray(clients) && clients.length > 0, 'oauth.clients must be a list of clients, such as [{ clientId: "app" }]')
  for (const [i, client] of clients.entries()) {
    const path = `oauth.clients[${i}]`
    allowOnly(client, ['clientId', 'clientSecret'], `${path}.`)
    const { clientId, clientSecret } = client
    demand(typeof clientId === 'string' && clientIdForm.test(clientId), `${path}.clientId must be printable ASCII without spaces, 255 characters at most`)
    demand(clientId !== name, `${path}.clientId must not be the name of the registration: tokens of the app's own sessions say that`)
    if (!Object.hasOwn(client, 'clientSecret')) continue
    const weakness = typeof clientSecret !== 'string'
      ? 'is missing'
      : secretForm.test(clientSecret) ? weaknessOf(clientSecret) : 'is not printable ASCII without spaces'
    demand(weakness === null, `${path}.clientSecret ${weakness ?? ''}: use a random one, such as \`openssl rand -base64 48\` prints`)
  }
  demand(new Set(clients.map(({ clientId }) => clientId)).size === clients.length, 'oauth.clients holds a clientId twice')
  return clients
}

/** @throws TypeError that names the option and the fix */
export function resolveDpop (given: DpopOptions | boolean | undefined): ResolvedDpop | null {
  if (given === undefined || given === false) return null
  const options = given === true ? {} : given
  allowOnly(options, ['required', 'nonces', 'replays'], 'dpop.')
  const { required = false, nonces = true, replays = null } = options
  for (const [option, value] of Object.entries({ required, nonces })) {
    demand(typeof value === 'boolean', `dpop.${option} must be true or false`)
  }
  demand(replays === null || attemptVerbs.every(verb => isFunction(replays[verb])),
    'dpop.replays must be an AttemptStore, such as new RedisAttempts(client) from fastify-token-auth/stores/redis')
  return { required, nonces, replays }
}

/** Whether paths can be put behind it: an address by https, or by http on this machine, without query and fragment. */
export function isBase (text: unknown): boolean {
  // What a URL parser puts right, others compare as it was typed.
  if (typeof text !== 'string' || !/^https?:\/\/[^/]/.test(text) || !URL.canParse(text)) return false
  const url = new URL(text)
  const isPlain = url.username === '' && url.password === '' && !/[?#\\\s]/.test(text)
  return isPlain && (url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url)))
}

export function isLoopback ({ hostname }: URL): boolean {
  return /^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname)
}
