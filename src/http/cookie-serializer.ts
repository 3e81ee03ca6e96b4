import fastifyCookie from '@fastify/cookie'
import type { FastifyInstance } from 'fastify'
import type { SerializeCookie } from './cookies.js'

type RegisterPlugin = (
  instance: object,
  options: object,
  done: (error?: Error) => void
) => unknown

/**
 * Registers @fastify/cookie if the host did not, and returns its serializer.
 *
 * Uses the decorator, not the module's own function: the host may have registered another copy of
 * the library, and ours would not be initialized.
 */
export async function getCookieSerializer (scope: FastifyInstance): Promise<SerializeCookie> {
  if (!scope.hasDecorator('serializeCookie')) {
    const names = ['cookies', 'setCookie', 'clearCookie', 'unsignCookie', 'signCookie']
    const taken = names.find(name =>
      scope.hasRequestDecorator(name) || scope.hasReplyDecorator(name) || scope.hasDecorator(name)
    )

    if (taken !== undefined) {
      return isolatedSerializer()
    }

    await scope.register(fastifyCookie, { hook: false })
  }

  return scope.serializeCookie as SerializeCookie
}

// For a host with decorators of its own that @fastify/cookie would collide with: registers the
// library on an object that only collects its decorators.
async function isolatedSerializer (): Promise<SerializeCookie> {
  const decorators = new Map<string, unknown>()
  const collector = {
    decorate: (name: string, value: unknown) => decorators.set(name, value),
    decorateRequest: () => collector,
    decorateReply: () => collector,
    addHook: () => collector
  }
  await registerCookie(collector)
  return decorators.get('serializeCookie') as SerializeCookie
}

// Some versions of @fastify/cookie call `done`. Later ones return a promise.
function registerCookie (instance: object): Promise<unknown> {
  const register = fastifyCookie as unknown as RegisterPlugin

  return new Promise((resolve, reject) => {
    const done = (error?: Error): void => {
      if (error === undefined) {
        resolve(undefined)
      } else {
        reject(error)
      }
    }

    const returned = register(instance, { hook: false }, done)

    if (returned instanceof Promise) {
      returned.then(resolve, reject)
    }
  })
}
