import { generateKeyPairSync } from 'node:crypto'
import type { FindingId } from '../../src/cli/doctor/findings.js'
import { credentials, PAGE_ORIGIN } from '../helpers/deployment.js'
import type { DeploymentOptions, ProxiedResponse } from '../helpers/deployment.js'

/** Deployment with one fault. */
export interface FaultyDeployment {
  readonly id: FindingId
  readonly title: string
  readonly deployment?: DeploymentOptions
  /** Arguments of `doctor` after the URL. */
  readonly args?: readonly string[]
  readonly url?: string
  readonly env?: Readonly<Record<string, string>>
  readonly now?: () => number
}

const privateKey = generateKeyPairSync('ed25519').privateKey
export const keys = {
  keys: [privateKey],
  issuer: 'https://api.example.test',
  audience: 'https://api.example.test'
} as const
export const originArgs = ['--origin', PAGE_ORIGIN]
const login = { args: ['--login'], env: credentials }
export const inBody = { refreshToken: { transport: 'body' as const }, cookie: undefined as never }
const HOUR = 3_600_000

/** Changes the cookies of each response. */
const changeCookies = (from: string | RegExp, to: string): DeploymentOptions => ({
  change ({ headers }) {
    const { 'set-cookie': cookies } = headers
    headers['set-cookie'] = [cookies ?? []].flat().map(cookie => cookie.replace(from, to))
  }
})

/** Sets or removes headers of each response. */
const changeHeaders = (
  headers: ProxiedResponse['headers'],
  isChanged: (path: string, method: string) => boolean = () => true
): DeploymentOptions => ({
  change (response, path, method) {
    if (isChanged(path, method)) {
      Object.assign(response.headers, headers)
    }
  }
})

const isJwks = (path: string): boolean => path === '/.well-known/jwks.json'

/** Changes the key set. */
const changeKeys = (change: (key: Record<string, unknown>) => object[]): DeploymentOptions => ({
  options: keys,
  change (response, path) {
    if (isJwks(path)) {
      const { keys: [key] } = JSON.parse(response.body) as { keys: [Record<string, unknown>] }
      response.body = JSON.stringify({ keys: change(key) })
    }
  }
})

/** At least one deployment for each finding. */
export const faultyDeployments: readonly FaultyDeployment[] = [
  {
    id: 'post-redirected',
    title: 'a redirect to another path',
    deployment: {
      change (response, _path, method) {
        if (method === 'POST') {
          response.status = 301
          response.headers = { location: 'https://www.example.test/' }
        }
      }
    }
  },
  {
    id: 'unexpected-response',
    title: 'a URL with another prefix',
    url: 'https://api.example.test/login'
  },
  {
    id: 'unexpected-response',
    title: 'a proxy that cannot reach the app',
    deployment: {
      change (response) {
        Object.assign(response, { status: 502, headers: {}, body: '<h1>Bad Gateway</h1>' })
      }
    }
  },
  { id: 'plain-http', title: 'http', url: 'http://api.example.test/auth' },
  {
    id: 'cookie-secure',
    title: 'cookie.secure: false',
    deployment: { options: { cookie: { secure: false } } }
  },
  {
    id: 'cookie-secure',
    title: 'a proxy that removes Secure',
    deployment: changeCookies('; Secure', '')
  },
  {
    id: 'cookie-http-only',
    title: 'a proxy that removes HttpOnly',
    deployment: changeCookies('; HttpOnly', '')
  },
  {
    id: 'cookie-same-site',
    title: 'a proxy that removes SameSite',
    deployment: changeCookies(/; SameSite=\w+/, '')
  },
  {
    id: 'cookie-same-site',
    title: 'cookie.sameSite: none',
    deployment: { options: { cookie: { sameSite: 'none' } } }
  },
  {
    id: 'cookie-prefix',
    title: 'cookie.path',
    deployment: { options: { cookie: { path: '/auth' } } }
  },
  {
    id: 'cookie-rejected',
    title: 'a proxy that changes Path',
    deployment: changeCookies('Path=/', 'Path=/api')
  },
  {
    id: 'cookie-rejected',
    title: 'a proxy that adds Domain',
    deployment: changeCookies('Path=/', 'Path=/; Domain=example.test')
  },
  {
    id: 'cors-any-origin',
    title: 'an origin that is reflected',
    deployment: { cors: { origin: true } }
  },
  {
    id: 'cors-any-origin',
    title: 'the origin null',
    deployment: { cors: { origin: [PAGE_ORIGIN, 'null'] } }
  },
  {
    id: 'cors-wildcard-credentials',
    title: 'a wildcard with credentials',
    deployment: { cors: { origin: '*' } }
  },
  {
    id: 'cors-origin-refused',
    title: 'an origin that is not in the list',
    args: ['--origin', 'https://other.example.test']
  },
  {
    id: 'cors-duplicate',
    title: 'a proxy that adds its own CORS header',
    args: originArgs,
    deployment: {
      change ({ headers }) {
        const { 'access-control-allow-origin': allowed } = headers
        headers['access-control-allow-origin'] = [String(allowed), PAGE_ORIGIN]
      }
    }
  },
  {
    id: 'cors-credentials',
    title: 'credentials: false',
    args: originArgs,
    deployment: { cors: { credentials: false } }
  },
  {
    id: 'cors-preflight',
    title: 'the default methods of @fastify/cors',
    args: originArgs,
    deployment: { cors: { methods: ['GET', 'HEAD', 'POST'] } }
  },
  {
    id: 'cors-preflight',
    title: 'a list without X-Token-Transport',
    args: originArgs,
    deployment: { cors: { allowedHeaders: ['content-type', 'authorization'] } }
  },
  {
    id: 'cors-expose',
    title: 'no exposedHeaders',
    args: originArgs,
    deployment: { cors: { exposedHeaders: [] } }
  },
  {
    id: 'cors-expose',
    title: 'a proxy that replaces the exposed headers',
    args: originArgs,
    deployment: changeHeaders({ 'access-control-expose-headers': 'Retry-After' })
  },
  {
    id: 'origin-untrusted',
    title: 'an origin that is missing in cookie.origins',
    args: originArgs,
    deployment: { options: { cookie: {} } }
  },
  {
    id: 'proxy-not-trusted',
    title: 'cookies without trustProxy',
    deployment: { trustProxy: false }
  },
  {
    id: 'proxy-not-trusted',
    title: 'a login without trustProxy',
    ...login,
    deployment: { trustProxy: false, options: inBody }
  },
  {
    id: 'proxy-not-trusted',
    title: 'cookies and a login without trustProxy',
    ...login,
    deployment: { trustProxy: false }
  },
  { id: 'proxy-spoofed', title: 'trustProxy: true', ...login, deployment: { trustProxy: true } },
  {
    id: 'proxy-spoofed',
    title: 'too many hops',
    ...login,
    deployment: { trustProxy: (_address, hop) => hop < 3 }
  },
  { id: 'clock-skew', title: 'a clock that is behind', now: () => Date.now() + HOUR },
  { id: 'clock-skew', title: 'a clock that is ahead', now: () => Date.now() - HOUR },
  {
    id: 'token-clock',
    title: 'a database whose clock is ahead',
    ...login,
    deployment: { options: { clock: () => Date.now() + HOUR } }
  },
  {
    id: 'cache-control',
    title: 'a proxy that replaces Cache-Control',
    deployment: changeHeaders({ 'cache-control': 'public, max-age=60' })
  },
  {
    id: 'cache-control',
    title: 'a proxy that removes Cache-Control of GET',
    deployment: changeHeaders({ 'cache-control': undefined }, (_path, method) => method === 'GET')
  },
  {
    id: 'response-cached',
    title: 'a cache that adds Age',
    deployment: changeHeaders({ age: '12' }, path => path === '/auth/sessions')
  },
  {
    id: 'response-cached',
    title: 'a CDN that reports a hit',
    deployment: changeHeaders({ 'x-cache': 'Hit from cloudfront' })
  },
  {
    id: 'jwks-unreachable',
    title: 'a proxy that does not route its path',
    ...login,
    deployment: {
      options: keys,
      change (response, path) {
        if (isJwks(path)) {
          response.status = 404
        }
      }
    }
  },
  {
    id: 'jwks-unreachable',
    title: 'another page at its URL',
    args: ['--jwks', 'https://api.example.test/auth/me']
  },
  {
    id: 'jwks-unreachable',
    title: 'an empty set',
    deployment: changeKeys(() => [])
  },
  {
    id: 'jwks-content-type',
    title: 'a file server that does not know the type',
    deployment: {
      options: keys,
      ...changeHeaders({ 'content-type': 'application/octet-stream' }, isJwks)
    }
  },
  {
    id: 'jwks-private-key',
    title: 'a private key',
    deployment: changeKeys(key => [{ ...key, d: 'private' }])
  },
  {
    id: 'jwks-kid',
    title: 'a key without kid',
    deployment: changeKeys(({ kid, ...key }) => [key])
  },
  {
    id: 'jwks-kid',
    title: 'two keys with one kid',
    deployment: changeKeys(key => [key, key])
  },
  {
    id: 'jwks-cache',
    title: 'a long lifetime',
    deployment: { options: keys, ...changeHeaders({ 'cache-control': 'max-age=86400' }, isJwks) }
  },
  {
    id: 'jwks-cache',
    title: 'an old response',
    deployment: { options: keys, ...changeHeaders({ age: '4000' }, isJwks) }
  },
  {
    id: 'login-failed',
    title: 'a wrong password',
    args: ['--login'],
    env: { ...credentials, FTA_PASSWORD: 'wrong password' }
  }
]
