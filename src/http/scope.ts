import { createRequire } from 'node:module'
import type { ErrorObject, ValidateFunction } from 'ajv'
import type { FastifyInstance, onSendHookHandler } from 'fastify'
import { createBadRequestError } from '../errors.js'
import type { Arrivals } from '../sessions/arrival.js'
import { addBodyParsers } from './body-parsers.js'
import { addToHeader } from './headers.js'

// Ajv is CommonJS, and Fastify has loaded most of it already. `import()` would be asynchronous.
const require = createRequire(import.meta.url)

// Headers of a response that is data for one client (OWASP ASVS 3.4, OWASP REST security).
const RESPONSE_HEADERS = {
  'cache-control': 'no-store',
  pragma: 'no-cache',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'content-security-policy': 'default-src \'none\'; frame-ancestors \'none\''
} as const

/** Name of the `onSend` hook of the plugin's routes, in `printRoutes`. */
export const OWN_ROUTES_HOOK = 'tokenAuth.addHeaders'

/**
 * Prepares the child scope of the routes.
 *
 * Replaces the parsers, compilers and formatters that the scope inherits from the app. Keeps all
 * responses of the scope, errors included, out of caches and frames. Lets requests wait for the
 * time of the database after a standstill.
 *
 * @param usesCookies - Whether a response can depend on the page that sends the request.
 */
export function prepareScope (
  scope: FastifyInstance,
  usesCookies: boolean,
  arrivals: Arrivals
): void {
  scope.setValidatorCompiler(({ schema }) => createValidator(schema as object))
  // A hook of the app may respond instead of the route. Response schemas are documentation only.
  scope.setSerializerCompiler(() => JSON.stringify)
  scope.setSchemaErrorFormatter(([error]) => {
    const path = error?.instancePath.slice(1) || 'body'

    // Ajv quotes the pattern, which contains characters that a header must not contain.
    return error?.keyword === 'pattern'
      ? createBadRequestError(`${path} must not contain NUL`)
      : createBadRequestError(`${path} ${error?.message ?? ''}`)
  })

  // Runs after the `onRoute` hooks of the app. With `attachValidation`, Fastify would run the
  // handlers with bodies that break their schema.
  scope.addHook('onRoute', route => {
    route.attachValidation = false
  })

  scope.addHook('onRequest', (request, _reply, done) => {
    const waiting = arrivals.waitForTime(request)

    if (waiting === null) {
      done()
    } else {
      waiting.then(() => {
        done()
      }, done)
    }
  })
  addBodyParsers(scope)
  // Runs after the hooks of the app, so that these headers win.
  scope.addHook('onSend', createHeaderHook(usesCookies))
}

function createHeaderHook (usesCookies: boolean): onSendHookHandler {
  const addHeaders: onSendHookHandler = (_request, reply, payload, done) => {
    reply.headers(RESPONSE_HEADERS)

    if (usesCookies) {
      addToHeader(reply, 'vary', 'Origin', 'Sec-Fetch-Site')
    }

    done(null, payload)
  }

  return Object.defineProperty(addHeaders, 'name', { value: OWN_ROUTES_HOOK })
}

// Compiles a schema at the first request that needs it, so that the app starts faster.
function createValidator (schema: object): (body: unknown) => true | { error: ErrorObject[] } {
  let validate: ValidateFunction | undefined

  return body => {
    validate ??= compileSchema(schema)
    return validate(body) || { error: validate.errors ?? [] }
  }
}

function compileSchema (schema: object): ValidateFunction {
  const { Ajv } = require('ajv') as typeof import('ajv')

  // The schemas are constants, and tests validate them. Compiling the meta schema would take most
  // of the time that the plugin needs to start.
  return new Ajv({ coerceTypes: false, meta: false, validateSchema: false })
    .compile(schema)
}
