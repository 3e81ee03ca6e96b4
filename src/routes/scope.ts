// The child scope that the routes live in. It inherits whatever the app has set (parsers, compilers, formatters), so it sets
// its own; and it keeps every answer out of caches and frames, errors included.

import { Ajv } from 'ajv'
import fastJsonStringify from 'fast-json-stringify'
import type { FastifyInstance, FastifyReply } from 'fastify'
import { TokenAuthError } from '../errors.js'
import { addToHeader } from '../reply-headers.js'

const BODY_LIMIT = 16_384

// Of an answer that is data, for one client, and no page (OWASP ASVS 3.4, REST security).
const headers = {
  'cache-control': 'no-store',
  pragma: 'no-cache',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'"
} as const

/** @param usesCookies Whether an answer may depend on which page asks. */
export function prepareScope (scope: FastifyInstance, usesCookies: boolean): void {
  const ajv = new Ajv({ coerceTypes: false, allowUnionTypes: true })
  scope.setValidatorCompiler(({ schema }) => ajv.compile(schema as object))
  scope.setSerializerCompiler(({ schema }) => fastJsonStringify(schema as object))
  scope.setSchemaErrorFormatter(([error]) =>
    // A pattern is no word for people, and holds what must not stand in a header.
    malformed(`${error?.instancePath.slice(1) || 'body'} ${error?.keyword === 'pattern' ? 'must not hold NUL' : error?.message ?? ''}`))

  scope.removeAllContentTypeParsers()
  const options = { parseAs: 'string', bodyLimit: BODY_LIMIT } as const
  const parseJson = scope.getDefaultJsonParser('error', 'error')
  scope.addContentTypeParser<string>('application/json', options, (request, text, done) => {
    if (text === '') return done(null)
    // The parser's own message quotes the text.
    return parseJson(request, text, (error, body: unknown) => {
      if (error !== null || !isUnicode(body) || hasRepeatedMember(text)) done(malformed('the body is not sound JSON'))
      else done(null, body)
    })
  })
  scope.addContentTypeParser<string>('application/x-www-form-urlencoded', options, (_request, text, done) => {
    const body = parseForm(text)
    if (body === null) done(malformed('the body is not a sound form'))
    else done(null, body)
  })

  scope.addHook('onRequest', (_request, reply, done) => {
    reply.headers(headers)
    done()
  })
  // Once more, since a hook of the app may have answered before, or have said something else of caches meanwhile.
  scope.addHook('onSend', (_request, reply, payload, done) => {
    if (reply.getHeader('pragma') === headers.pragma) reply.header('cache-control', headers['cache-control'])
    else reply.headers(headers)
    if (usesCookies) for (const member of ['Origin', 'Sec-Fetch-Site']) addToHeader(reply, 'vary', member)
    done(null, payload)
  })
}

/**
 * Answers by a schema, and by nothing else: what is sent is text already, which no reply serializer and no
 * `preSerialization` hook of the app rewrites.
 */
export function answerBy<Answer> (schema: object): (reply: FastifyReply, answer: Answer) => FastifyReply {
  const stringify = fastJsonStringify(schema)
  return (reply, answer) => reply.type('application/json; charset=utf-8').send(stringify(answer))
}

// A lone surrogate cannot be stored or hashed: it would come back as another text.
function isUnicode (body: unknown): boolean {
  return Object.values(body ?? {}).every(value => typeof value !== 'string' || value.isWellFormed())
}

// RFC 6749 section 3.2: a parameter must not be given twice. JSON.parse would keep the last one silently.
function hasRepeatedMember (json: string): boolean {
  const seen = new Set<string>()
  let depth = 0
  for (const [token, name] of json.matchAll(/("(?:[^"\\]|\\.)*")\s*:|"(?:[^"\\]|\\.)*"|[{}[\]]/g)) {
    if (token === '{' || token === '[') depth++
    else if (token === '}' || token === ']') depth--
    else if (name !== undefined && depth === 1) {
      const member = JSON.parse(name) as string
      if (seen.has(member)) return true
      seen.add(member)
    }
  }
  return false
}

function parseForm (text: string): Record<string, string> | null {
  const body: Record<string, string> = Object.create(null)
  for (const [name, value] of new URLSearchParams(text)) {
    if (name === '__proto__' || name in body) return null
    body[name] = value
  }
  return body
}

function malformed (hint: string): TokenAuthError {
  return new TokenAuthError('AUTH_REQUEST_INVALID', { hint })
}
