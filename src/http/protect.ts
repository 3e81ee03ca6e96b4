import type { AccessCheck, AuthenticatedRequest } from './authenticate.js'
import { isPreflight } from './csrf.js'

/** Part of a Fastify request that shows which route it matches. */
interface RoutedRequest extends AuthenticatedRequest {
  readonly is404?: boolean
  readonly routeOptions: AuthenticatedRequest['routeOptions'] & {
    readonly url?: string | undefined
    readonly method?: string | readonly string[] | undefined
  }
}

/**
 * Creates the check that protects a whole scope.
 *
 * @param check - Check of the `authenticate` hook.
 * @param except - Checked entries of the option `protect.except`.
 */
export function createScopeCheck (check: AccessCheck, except: readonly string[]): AccessCheck {
  const exact = new Set(except.filter(entry => !entry.endsWith('*')))
  const prefixes = except.filter(entry => entry.endsWith('*')).map(entry => entry.slice(0, -1))

  // Compares the declared path of the route: the router has dealt with case, slashes and encoding.
  const isExcepted = (url: string | undefined): boolean =>
    url !== undefined && (exact.has(url) || prefixes.some(prefix => url.startsWith(prefix)))

  return (request: RoutedRequest): Promise<void> | void => {
    if (
      request.is404 === true || isPreflightOfOptionsRoute(request) ||
      (except.length > 0 && isExcepted(request.routeOptions.url))
    ) {
      return
    }

    return check(request)
  }
}

/**
 * Whether a request is a preflight to a route that only responds to `OPTIONS`.
 *
 * The handler of a route for several methods may do its work for `OPTIONS` too.
 */
function isPreflightOfOptionsRoute (request: RoutedRequest): boolean {
  return isPreflight(request) &&
    [request.routeOptions.method].flat().every(method => method === 'OPTIONS')
}
