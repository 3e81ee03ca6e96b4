import type { FastifyInstance } from 'fastify'
import { createBadRequestError } from '../errors.js'

const MAX_BODY_LENGTH = 16_384

const [QUOTE, COLON, BACKSLASH] = [0x22, 0x3a, 0x5c]
const [OPEN_OBJECT, OPEN_ARRAY, CLOSE_OBJECT, CLOSE_ARRAY] = [0x7b, 0x5b, 0x7d, 0x5d]

/**
 * Replaces the body parsers that a scope inherits with strict parsers for JSON and forms.
 *
 * Malformed bodies, repeated members and lone surrogates result in `AUTH_REQUEST_INVALID`. The
 * error never quotes the body, because it may contain a password.
 */
export function addBodyParsers (scope: FastifyInstance): void {
  scope.removeAllContentTypeParsers()
  const options = { parseAs: 'string', bodyLimit: MAX_BODY_LENGTH } as const
  const parseJson = scope.getDefaultJsonParser('error', 'error')
  scope.addContentTypeParser<string>('application/json', options, (request, json, done) => {
    if (json === '') {
      return done(null)
    }

    return parseJson(request, json, (error, body: unknown) => {
      // The message of the parser's own error quotes the body.
      if (error !== null || hasRepeatedMember(json, body)) {
        done(createBadRequestError('body must be valid JSON without repeated members'))
      } else if (!isUnicode(body)) {
        done(createBadRequestError('body must not contain a lone surrogate'))
      } else {
        done(null, body)
      }
    })
  })
  scope.addContentTypeParser<string>(
    'application/x-www-form-urlencoded',
    options,
    (_request, form, done) => {
      const body = parseForm(form)

      if (body === null) {
        done(createBadRequestError('body must be a valid form without repeated fields'))
      } else {
        done(null, body)
      }
    }
  )
}

// A lone surrogate cannot be saved or hashed: UTF-8 would turn it into another character.
function isUnicode (body: unknown): boolean {
  return Object.values(body ?? {}).every(value => typeof value !== 'string' || value.isWellFormed())
}

// `JSON.parse` keeps the last of several members with the same name, but a parameter must not
// repeat (RFC 6749, section 3.2).
function hasRepeatedMember (json: string, body: unknown): boolean {
  return typeof body === 'object' && body !== null && !Array.isArray(body) &&
    countMembers(json) > Object.keys(body).length
}

// Counts the members of the outermost object of valid JSON. Each has one colon outside of strings.
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

function isEscaped (json: string, index: number): boolean {
  let backslashes = 0

  while (json.charCodeAt(index - 1 - backslashes) === BACKSLASH) {
    backslashes++
  }

  return backslashes % 2 === 1
}

function parseForm (form: string): Record<string, string> | null {
  const body: Record<string, string> = Object.create(null)

  for (const [name, value] of new URLSearchParams(form)) {
    if (name === '__proto__' || name in body) {
      return null
    }

    body[name] = value
  }

  return body
}
