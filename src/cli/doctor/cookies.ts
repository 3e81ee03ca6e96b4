import { createFinding } from './findings.js'
import type { Finding, FindingId } from './findings.js'

interface ParsedCookie {
  readonly name: string
  /** Values by lower-case name of the attribute. */
  readonly attributes: ReadonlyMap<string, string>
}

/**
 * Checks the attributes of the cookies of the plugin. Reports the cause and not its effects: a
 * cookie without Secure also has no prefix.
 *
 * @param setCookies - `Set-Cookie` headers.
 * @param allowsCrossSite - Whether pages of another site need the cookies.
 */
export function checkCookies (
  setCookies: readonly string[],
  name: string,
  allowsCrossSite: boolean
): Finding[] {
  const cookies = setCookies.map(parseCookie).filter(cookie =>
    new RegExp(`^(__Host-|__Secure-)?${name}-(refresh|access|device)$`).test(cookie.name)
  )
  const checks: ReadonlyArray<readonly [FindingId, (cookie: ParsedCookie) => boolean]> = [
    ['cookie-secure', ({ attributes }) => !attributes.has('secure')],
    ['cookie-http-only', ({ attributes }) => !attributes.has('httponly')],
    ['cookie-same-site', ({ attributes }) => {
      const sameSite = attributes.get('samesite') ?? ''
      return !['strict', 'lax'].includes(sameSite) && !(sameSite === 'none' && allowsCrossSite)
    }],
    [
      'cookie-prefix',
      ({ name, attributes }) => attributes.has('secure') && !name.startsWith('__Host-')
    ],
    [
      'cookie-rejected',
      ({ name, attributes }) =>
        name.startsWith('__Host-') && (attributes.has('domain') || attributes.get('path') !== '/')
    ]
  ]

  return checks.flatMap(([id, isFaulty]) => {
    const names = new Set(cookies.filter(isFaulty).map(cookie => cookie.name))
    return names.size === 0 ? [] : [createFinding(id, [...names].join(', '))]
  })
}

/** Returns the `Cookie` header that a browser would send after these responses. */
export function toCookieHeader (setCookies: readonly string[]): string {
  return setCookies.map(header => header.split(';')[0]).join('; ')
}

function parseCookie (header: string): ParsedCookie {
  const [pair = '', ...attributes] = header.split(';').map(part => part.trim())

  return {
    name: pair.split('=')[0] as string,
    attributes: new Map(attributes.map(attribute => {
      const [key = '', value = ''] = attribute.split('=')
      return [key.toLowerCase(), value.toLowerCase()]
    }))
  }
}
