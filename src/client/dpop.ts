/**
 * A `fetch` that binds tokens to a key of the browser (DPoP).
 *
 * @module fastify-token-auth/client/dpop
 */

import { loadKeyPair } from './dpop-keys.js'
import type { KeyPair, KeyPairStore } from './dpop-keys.js'
import { getPageOrigin } from './platform.js'

export type { KeyPair, KeyPairStore } from './dpop-keys.js'

/** Options of {@link createDpopFetch}. */
export interface DpopFetchOptions {
  /**
   * URL of the server. Only its origin receives tokens and proofs.
   *
   * @default the origin of the page
   */
  readonly baseUrl?: string
  /**
   * Storage of the key pair. If the key is lost, the user must log in again.
   *
   * By default, IndexedDB saves the key, and no script can export it. If IndexedDB fails or does
   * not respond within 2 s, a new key lives as long as the page, and `console.warn` says so. Node
   * has no IndexedDB, so the key lives as long as this `fetch`.
   *
   * If your storage fails, the request rejects, and the next request tries the storage again.
   *
   * @default IndexedDB
   * @example
   * ```ts
   * let saved: KeyPair | undefined
   * const keys: KeyPairStore = { get: async () => saved, add: async pair => saved ??= pair }
   * ```
   */
  readonly keys?: KeyPairStore
  /**
   * Sends the requests.
   *
   * @default the global `fetch`
   * @example
   * ```ts
   * fetch: request => fetch(request, { keepalive: true })
   * ```
   */
  readonly fetch?: (input: Request) => Promise<Response>
}

/** A `fetch` as in browsers and Node. */
export type Fetch = (input: string | URL | Request, init?: RequestInit) => Promise<Response>

const BEARER = /^bearer +/i

/**
 * Creates a `fetch` that adds a DPoP proof to each request to the server (RFC 9449).
 *
 * A login through it binds the session to a key that never leaves the browser, so a copied token is
 * useless elsewhere. The server needs the `dpop` option. Without it, the server binds no session,
 * and protected routes respond with 401. Requires WebCrypto: HTTPS or localhost in a browser, or
 * Node. A redirected request carries the proof of the original URL, which protected routes reject.
 *
 * If the server requires a newer nonce, sends the request once more with it (RFC 9449, section 8).
 *
 * @throws TypeError if `baseUrl` is not an absolute URL, or if WebCrypto is missing
 * @example
 * ```ts
 * import { createAuthClient } from 'fastify-token-auth/client'
 * import { createDpopFetch } from 'fastify-token-auth/client/dpop'
 *
 * const auth = createAuthClient({ fetch: createDpopFetch() })
 * ```
 */
export function createDpopFetch (
  { baseUrl, keys, fetch: send = request => fetch(request) }: DpopFetchOptions = {}
): Fetch {
  const { origin } = new URL(baseUrl ?? getPageOrigin() ?? '')
  const subtle = getWebCrypto()
  let keyPair: Promise<KeyPair> | undefined
  let nonce: string | undefined

  async function createProof (
    { method, url }: Request,
    accessToken: string | undefined
  ): Promise<string> {
    // A failed load must not stay cached, because the storage may work at the next request.
    keyPair ??= loadKeyPair(keys).catch((error: unknown) => {
      keyPair = undefined
      throw error
    })
    const { privateKey, publicKey } = await keyPair
    const { kty, crv, x, y } = await subtle.exportKey('jwk', publicKey)
    const { pathname } = new URL(url)
    const input = [
      { typ: 'dpop+jwt', alg: 'ES256', jwk: { kty, crv, x, y } },
      {
        jti: encodeBase64Url(crypto.getRandomValues(new Uint8Array(16))),
        htm: method,
        htu: origin + pathname,
        iat: Math.floor(Date.now() / 1000),
        nonce,
        ath: accessToken && encodeBase64Url(await subtle.digest('SHA-256', toBytes(accessToken)))
      }
    ].map(part => encodeBase64Url(toBytes(JSON.stringify(part)))).join('.')
    const algorithm = { name: 'ECDSA', hash: 'SHA-256' }
    const signature = await subtle.sign(algorithm, privateKey, toBytes(input))
    return `${input}.${encodeBase64Url(signature)}`
  }

  async function sendWithProof (request: Request): Promise<Response> {
    const headers = new Headers(request.headers)
    const authorization = headers.get('authorization') ?? ''
    const accessToken = BEARER.test(authorization) ? authorization.replace(BEARER, '') : undefined

    if (accessToken !== undefined) {
      headers.set('authorization', `DPoP ${accessToken}`)
    }

    headers.set('dpop', await createProof(request, accessToken))
    return send(new Request(request, { headers }))
  }

  return async function dpopFetch (input, init) {
    const request = new Request(input, init)

    if (new URL(request.url).origin !== origin) {
      return send(request)
    }

    const copy = request.clone()
    const response = await sendWithProof(request)
    const nextNonce = response.headers.get('dpop-nonce')
    const requiresNonce = nextNonce !== null &&
      /use_dpop_nonce/.test(response.headers.get('www-authenticate') ?? '')
    nonce = nextNonce ?? nonce

    if (!requiresNonce) {
      return response
    }

    const secondResponse = await sendWithProof(copy)
    nonce = secondResponse.headers.get('dpop-nonce') ?? nonce
    return secondResponse
  }
}

/** Browsers hide WebCrypto on pages without HTTPS, where each request would fail later. */
function getWebCrypto (): typeof crypto.subtle {
  // An annotation, because the types of Node do not know environments without WebCrypto.
  const subtle: typeof crypto.subtle | undefined = globalThis.crypto?.subtle

  if (subtle === undefined) {
    throw new TypeError(
      'createDpopFetch requires "crypto.subtle"; serve the page over HTTPS or from localhost'
    )
  }

  return subtle
}

function toBytes (value: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(value)
}

/** Encodes bytes in base64url (RFC 7515, section 2). */
function encodeBase64Url (bytes: ArrayBuffer | Uint8Array): string {
  return btoa(String.fromCharCode(...new Uint8Array(bytes))).replace(/=+$/, '').replaceAll('+', '-')
    .replaceAll('/', '_')
}
