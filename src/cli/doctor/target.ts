import { defaultPaths, transportHeader } from '../../protocol.js'
import type { Finding } from './findings.js'
import type { ProbeRequest, ProbeResponse, SendRequest } from './http.js'

/** Route that the doctor calls. */
export type ProbedRoute = 'login' | 'refresh' | 'logout' | 'sessions'

/** Deployment to examine. */
export interface Target {
  /** URL of the prefix, without a slash at the end. */
  readonly base: string
  /** Origin of the deployment. */
  readonly ownOrigin: string
  /** Origins of pages that call the deployment. */
  readonly origins: readonly string[]
  /** URL of the JWKS; `null` for the default path. */
  readonly jwks: string | null
  /** Option `name` of the plugin. */
  readonly name: string
  readonly paths: Readonly<Partial<Record<ProbedRoute, string>>>
  /** `null` for an examination without a login. */
  readonly credentials: { readonly username: string, readonly password: string } | null
}

/** Result of an examination. */
export interface Report {
  readonly findings: readonly Finding[]
  /** Parts that were not checked, with the reason. */
  readonly notChecked: readonly string[]
  /** Facts that only the operator can judge. */
  readonly facts: readonly string[]
}

/** Sends requests to the routes of a {@link Target}. */
export class Probe {
  readonly target: Target
  readonly send: SendRequest

  constructor (target: Target, send: SendRequest) {
    this.target = target
    this.send = send
  }

  /** Returns the URL of a route. */
  url (route: ProbedRoute): string {
    return this.target.base + (this.target.paths[route] ?? defaultPaths[route])
  }

  /** Sends a request to a route. */
  request (
    method: ProbeRequest['method'],
    route: ProbedRoute,
    headers: Readonly<Record<string, string>> = {},
    body?: object
  ): Promise<ProbeResponse> {
    return this.send({ method, url: this.url(route), headers, ...(body && { body }) })
  }

  /** Sends a refresh without a token, which the app rejects without a query. */
  refresh (headers: Readonly<Record<string, string>> = {}): Promise<ProbeResponse> {
    return this.request('POST', 'refresh', headers, {})
  }

  /**
   * Sends a logout with a refresh cookie that is not a token.
   *
   * A logout of an unknown token succeeds and clears the cookies, so it shows their attributes. It
   * revokes nothing.
   */
  logout (origin?: string): Promise<ProbeResponse> {
    const { name } = this.target
    const cookie = ['__Host-', '__Secure-', ''].map(prefix => `${prefix}${name}-refresh=none`)

    return this.request('POST', 'logout', {
      cookie: cookie.join('; '),
      ...(origin === undefined ? { [transportHeader]: 'cookie' } : { origin })
    }, {})
  }
}
