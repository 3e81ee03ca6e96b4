// Proofs of possession (DPoP, RFC 9449) for a client in a browser: a fetch that signs each request to the server with a key that
// no script can read. It is handed to `createAuthClient`, so that who does not need it does not load it.

import { keptKeys } from './dpop-keys.js'
import type { KeyPair, KeyPairStore } from './dpop-keys.js'

export type { KeyPair, KeyPairStore } from './dpop-keys.js'

export interface DpopFetchOptions {
  /**
   * The server: proofs and tokens go to its origin alone.
   * @default the origin of the page
   */
  readonly baseUrl?: string
  /**
   * Where the key is kept. One that is lost is worth a logout: the session is bound to it.
   * @default IndexedDB, where it cannot be read; where there is none, until the page is closed
   */
  readonly keys?: KeyPairStore
  /** What sends. @default fetch */
  readonly fetch?: (input: Request) => Promise<Response>
}

type Fetch = (input: string | URL | Request, init?: RequestInit) => Promise<Response>

const bearer = /^bearer +/i

/**
 * Makes a fetch for `createAuthClient`. A login through it binds the session to a key that never leaves the browser: a copy of
 * its tokens is worth nothing. The server needs `dpop`; without it nothing that is bound is let in.
 *
 * ```ts
 * const auth = createAuthClient({ fetch: createDpopFetch() })
 * ```
 *
 * Only where there is WebCrypto: in a browser by https, or in Node. A redirect is followed by a proof that is not for it.
 */
export function createDpopFetch (
  { baseUrl, keys, fetch: send = request => fetch(request) }: DpopFetchOptions = {}
): Fetch {
  const { origin } = new URL(
    baseUrl ?? (globalThis as { location?: { origin: string } }).location?.origin as string
  )
  const { subtle } = crypto
  let pair: Promise<KeyPair> | undefined
  let nonce: string | undefined

  async function prove ({ method, url }: Request, token: string | undefined): Promise<string> {
    // What failed to be found once is looked for again.
    pair ??= keptKeys(keys).catch((error: unknown) => {
      pair = undefined
      throw error
    })
    const { privateKey, publicKey } = await pair
    const { kty, crv, x, y } = await subtle.exportKey('jwk', publicKey)
    const { pathname } = new URL(url)
    const input = [
      { typ: 'dpop+jwt', alg: 'ES256', jwk: { kty, crv, x, y } },
      {
        jti: encode(crypto.getRandomValues(new Uint8Array(16))),
        htm: method,
        htu: origin + pathname,
        iat: Math.floor(Date.now() / 1000),
        nonce,
        ath: token && encode(await subtle.digest('SHA-256', bytesOf(token)))
      }
    ].map(part => encode(bytesOf(JSON.stringify(part)))).join('.')

    return `${input}.${
      encode(await subtle.sign({ name: 'ECDSA', hash: 'SHA-256' }, privateKey, bytesOf(input)))
    }`
  }

  async function sendProven (request: Request): Promise<Response> {
    const headers = new Headers(request.headers)
    const authorization = headers.get('authorization') ?? ''
    const token = bearer.test(authorization) ? authorization.replace(bearer, '') : undefined

    if (token !== undefined) {
      headers.set('authorization', `DPoP ${token}`)
    }

    headers.set('dpop', await prove(request, token))
    return send(new Request(request, { headers }))
  }

  return async function dpopFetch (input, init) {
    const request = new Request(input, init)

    if (new URL(request.url).origin !== origin) {
      return send(request)
    }

    const again = request.clone()
    const response = await sendProven(request)
    const given = response.headers.get('dpop-nonce')
    const isAsked = given !== null &&
      /use_dpop_nonce/.test(response.headers.get('www-authenticate') ?? '')
    nonce = given ?? nonce

    if (!isAsked) {
      return response
    }

    const answer = await sendProven(again)
    nonce = answer.headers.get('dpop-nonce') ?? nonce
    return answer
  }
}

function bytesOf (text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text)
}

/** Base64url (RFC 7515 section 2). */
function encode (bytes: ArrayBuffer | Uint8Array): string {
  return btoa(String.fromCharCode(...new Uint8Array(bytes))).replace(/=+$/, '').replaceAll('+', '-')
    .replaceAll('/', '_')
}
