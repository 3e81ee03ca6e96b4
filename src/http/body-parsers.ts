// What requests bring: JSON and forms, each member once, in texts that can be kept.

import type { FastifyInstance } from 'fastify'
import { TokenAuthError } from '../errors.js'

const LIMIT = 16_384

const [QUOTE, COLON, BACKSLASH] = [0x22, 0x3a, 0x5c]
const [OPEN_OBJECT, OPEN_ARRAY, CLOSE_OBJECT, CLOSE_ARRAY] = [0x7b, 0x5b, 0x7d, 0x5d]

/** In place of the parsers that a scope inherits. Bodies that are no good are AUTH_REQUEST_INVALID, and are quoted nowhere. */
export function addBodyParsers (scope: FastifyInstance): void {
  scope.removeAllContentTypeParsers()
  const options = { parseAs: 'string', bodyLimit: LIMIT } as const
  const parseJson = scope.getDefaultJsonParser('error', 'error')
  scope.addContentTypeParser<string>('application/json', options, (request, text, done) => {
    if (text === '') {
      return done(null)
    }

    // The parser's own message quotes the text.
    return parseJson(request, text, (error, body: unknown) => {
      if (error !== null || !isUnicode(body) || hasRepeatedMember(text, body)) {
        done(badRequest('the body is not sound JSON'))
      } else {
        done(null, body)
      }
    })
  })
  scope.addContentTypeParser<string>(
    'application/x-www-form-urlencoded',
    options,
    (_request, text, done) => {
      const body = parseForm(text)

      if (body === null) {
        done(badRequest('the body is not a sound form'))
      } else {
        done(null, body)
      }
    }
  )
}

/** */
export function badRequest (hint: string): TokenAuthError {
  return new TokenAuthError('AUTH_REQUEST_INVALID', { hint })
}

// A lone surrogate cannot be stored or hashed: it would come back as another text.
function isUnicode (body: unknown): boolean {
  return Object.values(body ?? {}).every(value => typeof value !== 'string' || value.isWellFormed())
}

// RFC 6749 section 3.2: a parameter must not be given twice. JSON.parse keeps the last one silently.
function hasRepeatedMember (json: string, body: unknown): boolean {
  return typeof body === 'object' && body !== null && !Array.isArray(body) &&
    countMembers(json) > Object.keys(body).length
}

// Of the outermost object of sound JSON: a colon for each that is in no text and in nothing else.
function countMembers (json: string): number {
  let count = 0
  let depth = 0

  for (let i = 0; i < json.length; i++) {
    switch (json.charCodeAt(i)) {
      case QUOTE:
        do {
          i = json.indexOf('"', i + 1)
        } while (isEscaped(json, i))

        break
      case COLON:
        if (depth === 1) {
          count++
        }

        break
      case OPEN_OBJECT:
      case OPEN_ARRAY:
        depth++
        break
      case CLOSE_OBJECT:
      case CLOSE_ARRAY:
        depth--
    }
  }

  return count
}

function isEscaped (json: string, at: number): boolean {
  let backslashes = 0

  while (json.charCodeAt(at - 1 - backslashes) === BACKSLASH) {
    backslashes++
  }

  return backslashes % 2 === 1
}

function parseForm (text: string): Record<string, string> | null {
  const body: Record<string, string> = Object.create(null)

  for (const [name, value] of new URLSearchParams(text)) {
    if (name === '__proto__' || name in body) {
      return null
    }

    body[name] = value
  }

  return body
}
