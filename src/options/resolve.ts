import { resolveOAuth } from './oauth.js'
import { optionsShape } from './options.js'
import type { TokenAuthOptions } from './options.js'
import { resolveSessions } from './sessions.js'
import { assertKeyOptions, resolveParties, resolveSecrets } from './signing.js'
import { resolvePaths, resolveTransport } from './transport.js'
import { resolveShape } from './validate.js'

/** Checked options with defaults. */
export type ResolvedOptions = ReturnType<typeof resolveOptions>

/**
 * Checks the options of the plugin and adds the defaults.
 *
 * @param mountedAt - Prefix of the scope that registers the plugin.
 * @throws TypeError if an option is invalid or unknown, or contradicts another one.
 */
export function resolveOptions (given: TokenAuthOptions, mountedAt = '') {
  const options = resolveShape(optionsShape, given)
  const { name, prefix, accessToken, refreshToken, throttle } = options
  const sessions = resolveSessions(options, given, options.storeTimeout)
  const oauth = resolveOAuth({ ...options, issuer: options.issuer?.[0] ?? null })
  assertKeyOptions(options, accessToken.secret)
  const paths = {
    ...resolvePaths(options.routes, oauth?.metadataPath),
    ...(refreshToken === null && { refresh: false as const })
  }

  return {
    ...sessions,
    name,
    prefix,
    paths,
    transport: resolveTransport({
      kind: refreshToken?.transport ?? 'none',
      cookie: options.cookie,
      name,
      prefix: mountedAt + prefix,
      paths,
      isThrottled: throttle !== null
    }),
    secrets: resolveSecrets(options.secret, accessToken.secret, refreshToken?.secret ?? null),
    store: options.store,
    users: options.users,
    /** `null` if access tokens are signed with a key derived from `secret`. */
    keys: options.keys,
    ...resolveParties(options.issuer, options.audience, oauth !== null),
    /** `null` if there are no OAuth clients. */
    oauth,
    /** `null` if tokens cannot be bound to a key. */
    dpop: options.dpop,
    publicUrl: options.publicUrl ?? undefined,
    passwords: options.passwords,
    /** `null` if logins are not throttled. */
    throttle,
    startup: {
      ...options.startup,
      /** Stores of the app, which are checked at startup. */
      stores: [options.store, throttle?.attempts, options.dpop?.replays]
        .filter(store => store != null)
    },
    openapi: options.openapi,
    /** `null` if the scope is not protected as a whole. */
    protection: options.protect,
    decorators: options.decorators,
    on: options.on,
    /** `null` for the clock of the store. */
    clock: options.clock
  }
}
