import { defaultPaths } from '../protocol.js'
import { assertSecret } from './signing.js'
import {
  assert,
  boolean,
  group,
  isBaseUrl,
  optional,
  resolvePublicUrl,
  resolveShape
} from './validate.js'
import type { Resolved, Shape } from './validate.js'

/** An OAuth client that may use the OAuth routes. */
export interface OAuthClient {
  /**
   * The `client_id` of the client, and of its access tokens.
   *
   * Up to 255 printable ASCII characters without spaces. It must differ from the option `name`,
   * which is the `client_id` of sessions without a client.
   */
  readonly clientId: string

  /**
   * Secret of at least 32 random bytes, for a client that runs on a server.
   *
   * The client must send it with every request, and may then introspect tokens. Mobile apps and
   * apps in a browser cannot keep a secret, so they have none (RFC 6749, section 2.1). `undefined`
   * throws at startup, because it usually means a missing environment variable.
   *
   * @default no secret
   */
  readonly clientSecret?: string

  /**
   * Whether the client may use the route `sync`, for a service that verifies tokens with the
   * option `sync` of `tokenVerifier`.
   *
   * The route tells the client which sessions and users of this registration were revoked, by
   * their IDs. The client reports which tokens it has accepted, so that a stolen refresh token is
   * detected even if this app never receives the access tokens. Requires `clientSecret`.
   *
   * If one client has it, every access token has the claim `seen` (about 20 bytes).
   *
   * @default false
   * @example
   * ```ts
   * oauth: { clients: [{ clientId: 'orders', clientSecret, sync: true }] }
   * ```
   */
  readonly sync?: boolean
}

/** Options for OAuth clients. */
export interface OAuthOptions {
  /**
   * Clients that may use the routes `token`, `revoke`, `introspect` and `sync`.
   *
   * A session belongs to a client if its login sends the `client_id`, or if `openSession` names
   * the client. A client with a secret also sends it, as `client_secret` or by HTTP Basic. Only
   * these routes and `logout` accept the refresh token of such a session. `logoutAll`, `elevate`,
   * `me` and the routes for sessions reject its tokens.
   *
   * @example
   * ```ts
   * oauth: { clients: [{ clientId: 'phone' }, { clientId: 'orders', clientSecret }] }
   * ```
   */
  readonly clients: readonly OAuthClient[]
}

/** Options for clients and servers that follow OAuth standards. */
export interface OAuthServerOptions {
  /**
   * Additional routes for OAuth clients: `token` (refresh only, RFC 6749, section 6), `revoke`
   * (RFC 7009), `introspect` (RFC 7662) and `metadata` (RFC 8414). A client with `sync` adds the
   * route `sync`.
   *
   * Every access token then has a `client_id` (RFC 9068): that of its client, or `name`. Requires
   * `issuer`. Other services can verify access tokens only with `keys`.
   *
   * @default no OAuth routes
   * @example
   * ```ts
   * oauth: { clients: [{ clientId: 'phone' }] }
   * ```
   */
  readonly oauth?: OAuthOptions

  /**
   * URL in front of the paths of this app as its clients see it, for example
   * `'https://example.org/api'`.
   *
   * Set it if a proxy changes paths. Also set it if clients send DPoP proofs to other servers
   * too: such a server could replay them here with a `Host` header of its choice.
   *
   * @default the origin of `issuer` in metadata, the URL of the request in DPoP proofs
   */
  readonly publicUrl?: string
}

/** Checks of {@link OAuthOptions}. */
export const oauthShape = {
  clients: resolveClients
} satisfies Shape<OAuthOptions>

/** Checks of {@link OAuthServerOptions}. */
export const oauthServerShape = {
  oauth: optional(group(oauthShape)),
  publicUrl: optional(resolvePublicUrl)
} satisfies Shape<OAuthServerOptions>

/** Checked OAuth client. */
export type ResolvedClient = Resolved<typeof clientShape>

/** Settings of the OAuth routes. */
export interface ResolvedOAuth {
  readonly issuer: string
  readonly clients: readonly ResolvedClient[]
  /** Default path of the metadata. */
  readonly metadataPath: string
  /** URL in front of the paths of the routes. */
  readonly baseUrl: string
}

/**
 * Derives the settings of the OAuth routes.
 *
 * @returns `null` if there are no OAuth clients.
 * @throws TypeError if other options do not fit `oauth`.
 */
export function resolveOAuth (
  { oauth, name, issuer, publicUrl, refreshToken }: {
    readonly oauth: Resolved<typeof oauthShape> | null
    readonly name: string
    readonly issuer: string | null
    readonly publicUrl: string | null
    readonly refreshToken: object | null
  }
): ResolvedOAuth | null {
  if (oauth === null) {
    return null
  }

  const { clients } = oauth
  assert(
    issuer !== null,
    '"oauth" requires "issuer"; set it to the https URL of this server, such as ' +
      '"https://auth.example.org"'
  )
  assert(
    isBaseUrl(issuer),
    '"issuer" must be an https URL without query and fragment if "oauth" is set, such as ' +
      '"https://auth.example.org"; http works for localhost only'
  )
  assert(refreshToken !== null, '"oauth" requires refresh tokens; remove "refreshToken: false"')
  const conflict = clients.findIndex(({ clientId }) => clientId === name)
  assert(
    conflict === -1,
    `"oauth.clients[${conflict}].clientId" must differ from "name", which is the "client_id" of ` +
      'sessions without a client'
  )
  const { origin, pathname } = new URL(issuer)
  // A single colon would begin a route parameter.
  const issuerPath = pathname.replace(/\/$/, '').replaceAll(':', '::')

  return {
    issuer,
    clients,
    metadataPath: defaultPaths.metadata + issuerPath,
    baseUrl: publicUrl ?? origin
  }
}

const clientShape = {
  clientId: resolveClientId,
  clientSecret: resolveClientSecret,
  sync: boolean(false)
} satisfies Shape<OAuthClient>

function resolveClients (value: unknown, path: string): readonly ResolvedClient[] {
  assert(
    Array.isArray(value) && value.length > 0,
    `"${path}" must be a non-empty array, such as [{ clientId: "app" }]`
  )
  const clients = value.map((client, i) => resolveShape(clientShape, client, `${path}[${i}]`))
  const open = clients.findIndex(({ sync, clientSecret }) => sync && clientSecret === null)
  assert(
    open === -1,
    `"${path}[${open}].sync" requires "${path}[${open}].clientSecret", because the route names ` +
      'users and sessions; set it, or remove "sync"'
  )
  assert(
    new Set(clients.map(({ clientId }) => clientId)).size === clients.length,
    `"${path}" must not contain the same clientId twice; remove one of them`
  )
  return clients
}

function resolveClientId (value: unknown, path: string): string {
  assert(
    typeof value === 'string' && /^[\x21-\x7e]{1,255}$/.test(value),
    `"${path}" must be 1 to 255 printable ASCII characters without spaces`
  )
  return value
}

function resolveClientSecret (value: unknown, path: string, isSet: boolean): string | null {
  if (!isSet) {
    return null
  }

  assert(
    value == null || (typeof value === 'string' && /^[\x21-\x7e]*$/.test(value)),
    `"${path}" must be a string of printable ASCII without spaces; ` +
      'create one with `openssl rand -base64 48`'
  )
  assertSecret(value, path)
  return value
}
