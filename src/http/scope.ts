// The child scope that the routes live in. It inherits whatever the app has set (parsers, compilers, formatters), so it sets
// its own; and it keeps every answer out of caches and frames, errors included.

import { createRequire } from 'node:module'
import type { ErrorObject, ValidateFunction } from 'ajv'
import type { FastifyInstance } from 'fastify'
import { addToHeader } from './headers.js'
import { addBodyParsers, badRequest } from './body-parsers.js'

// In place of `import`, for what is CommonJS and loaded where the first request needs it. Fastify has most of its files already.
const require = createRequire(import.meta.url)

// Of an answer that is data, for one client, and no page (OWASP ASVS 3.4, REST security).
const headers = {
  'cache-control': 'no-store',
  pragma: 'no-cache',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'content-security-policy': 'default-src \'none\'; frame-ancestors \'none\''
} as const

/** @param usesCookies Whether an answer may depend on which page asks. */
export function prepareScope (scope: FastifyInstance, usesCookies: boolean): void {
  scope.setValidatorCompiler(({ schema }) => validateBy(schema as object))
  // For what a hook of the app answers in our place: as it is. The schemas of answers are for documents, and cut nothing.
  scope.setSerializerCompiler(() => JSON.stringify)
  scope.setSchemaErrorFormatter(([error]) =>
    // A pattern is no word for people, and holds what must not stand in a header.
    badRequest(
      `${error?.instancePath.slice(1) || 'body'} ${
        error?.keyword === 'pattern' ? 'must not hold NUL' : error?.message ?? ''
      }`
    )
  )

  addBodyParsers(scope)
  // As the last of all, whatever a hook of the app has said of caches, or has answered before.
  scope.addHook('onSend', (_request, reply, payload, done) => {
    reply.headers(headers)

    if (usesCookies) {
      for (const member of ['Origin', 'Sec-Fetch-Site']) {
        addToHeader(reply, 'vary', member)
      }
    }

    done(null, payload)
  })
}

// Compiled by the first request that needs it: an app starts without. That the schemas are sound is for the tests to say, since
// they are constants; the schema of schemas alone would take most of the time that the plugin needs to start.
function validateBy (schema: object): (body: unknown) => true | { error: ErrorObject[] } {
  let validate: ValidateFunction | undefined

  return body => {
    validate ??= compile(schema)
    return validate(body) || { error: validate.errors ?? [] }
  }
}

function compile (schema: object): ValidateFunction {
  const { Ajv } = require('ajv') as typeof import('ajv')

  return new Ajv({ coerceTypes: false, allowUnionTypes: true, meta: false, validateSchema: false })
    .compile(schema)
}
