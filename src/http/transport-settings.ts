import type { FastifyInstance } from 'fastify'
import type { CookieSettings, ResolvedTransport } from '../options/transport.js'
import { getCookieSerializer } from './cookie-serializer.js'
import { TokenCookie } from './cookies.js'
import type { TransportSettings } from './token-transport.js'

/** Creates the cookies of a registration, and registers @fastify/cookie if there are any. */
export async function createTransportSettings (
  scope: FastifyInstance,
  transport: ResolvedTransport
): Promise<TransportSettings> {
  const { refreshCookie, accessCookie, deviceCookie } = transport

  if (refreshCookie === null) {
    return { ...transport, refreshCookie: null, accessCookie: null, deviceCookie: null }
  }

  const serialize = await getCookieSerializer(scope)
  const create = (settings: CookieSettings | null): TokenCookie | null =>
    settings === null ? null : new TokenCookie(settings, serialize)

  return {
    ...transport,
    refreshCookie: create(refreshCookie),
    accessCookie: create(accessCookie),
    deviceCookie: create(deviceCookie)
  }
}
