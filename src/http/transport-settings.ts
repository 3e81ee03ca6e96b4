import type { FastifyInstance } from 'fastify'
import type { CookieSettings, ResolvedTransport } from '../options/transport.js'
import { getCookieSerializer } from './cookie-serializer.js'
import { createCookieRemover, CrossSiteWarning, PlainHttpWarning, TokenCookie } from './cookies.js'
import { TrustedOrigins } from './csrf.js'
import type { TransportSettings } from './token-transport.js'

/**
 * Creates the cookies of a registration, and registers @fastify/cookie if there are any.
 *
 * @param name - Option `name`, for the log.
 */
export async function createTransportSettings (
  scope: FastifyInstance,
  transport: ResolvedTransport,
  name: string
): Promise<TransportSettings> {
  const { refreshCookie, accessCookie, deviceCookie } = transport
  const origins = new TrustedOrigins(transport.origins, scope.log, name)
  const common = {
    ...transport,
    origins,
    plainHttp: new PlainHttpWarning(scope.log, name)
  }

  if (refreshCookie === null) {
    return {
      ...common,
      crossSite: null,
      refreshCookie: null,
      accessCookie: null,
      deviceCookie: null,
      removers: []
    }
  }

  const serialize = await getCookieSerializer(scope)
  const create = (settings: CookieSettings | null): TokenCookie | null =>
    settings === null ? null : new TokenCookie(settings, serialize)

  return {
    ...common,
    crossSite: new CrossSiteWarning(origins, refreshCookie.sameSite, scope.log, name),
    refreshCookie: create(refreshCookie),
    accessCookie: create(accessCookie),
    deviceCookie: create(deviceCookie),
    removers: transport.previous.map(cookie =>
      createCookieRemover(cookie, refreshCookie, serialize)
    )
  }
}
