import fastifyCookie from '@fastify/cookie'
import type { FastifyInstance } from 'fastify'
import type { SerializeCookie } from './cookies.js'

type RegisterPlugin = (instance: object, options: object) => Promise<unknown>

/**
 * Registers @fastify/cookie if the host did not, and returns its serializer.
 *
 * Uses the decorator, not the module's own function: the host may have registered another copy of
 * the library, and ours would not be initialized.
 */
export async function getCookieSerializer (scope: FastifyInstance): Promise<SerializeCookie> {
  if (!scope.hasPlugin('@fastify/cookie')) {
    if (hasCookieDecorator(scope)) {
      return createIsolatedSerializer()
    }

    await scope.register(fastifyCookie, { hook: false })
  }

  return scope.serializeCookie as SerializeCookie
}

/** Whether the host has a decorator of its own that @fastify/cookie would collide with. */
function hasCookieDecorator (scope: FastifyInstance): boolean {
  return scope.hasRequestDecorator('cookies') ||
    ['cookie', 'setCookie', 'clearCookie'].some(name => scope.hasReplyDecorator(name)) ||
    ['serializeCookie', 'parseCookie'].some(name => scope.hasDecorator(name))
}

/** Registers @fastify/cookie on an object that only collects its decorators. */
async function createIsolatedSerializer (): Promise<SerializeCookie> {
  const decorators = new Map<string, unknown>()
  const collector = {
    decorate: (name: string, value: unknown) => decorators.set(name, value),
    decorateRequest: () => collector,
    decorateReply: () => collector,
    addHook: () => collector
  }
  await (fastifyCookie as unknown as RegisterPlugin)(collector, { hook: false })
  return decorators.get('serializeCookie') as SerializeCookie
}
