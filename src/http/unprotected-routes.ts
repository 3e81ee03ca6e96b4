import type { FastifyInstance } from 'fastify'
import { AUTHENTICATE_HOOK } from './authenticate.js'
import { OWN_ROUTES_HOOK } from './scope.js'

/** Route that no `authenticate` hook protects. */
export interface UnprotectedRoute {
  /** HTTP method. */
  readonly method: string
  /** Path as it was declared, with all prefixes. */
  readonly path: string
}

/** Routes of one line of the printed tree. */
interface PrintedRoutes {
  readonly path: string
  readonly methods: readonly string[]
  /** Names of their hooks: `onRequest:verify`. */
  readonly hooks: string[]
}

const INDENT = 4
const NODE_PATTERN = /^((?:│ {3}| {4})*)[├└]── (.*)$/
const ROUTES_PATTERN = /^(.*) \(([A-Z-]+(?:, [A-Z-]+)*)\)(?: \{.*\})?$/
const HOOKS_PATTERN = /^• \((\w+)\) (\[.*\])$/
const EMPTY_ROOT = '(empty root node)'
const OWN_HOOK = `onSend:${OWN_ROUTES_HOOK}()`
/** Hooks of protected routes. The plugin's own routes count as protected. */
const KNOWN_HOOKS: ReadonlySet<string> = new Set([
  OWN_HOOK,
  ...['onRequest', 'preParsing', 'preValidation', 'preHandler']
    .map(hook => `${hook}:${AUTHENTICATE_HOOK}()`)
])

/**
 * Creates `app.tokenAuth.unprotectedRoutes`.
 *
 * @param paths - Paths of the plugin's routes.
 */
export function createRouteLister (
  app: FastifyInstance,
  { jwks, metadata }: Readonly<Record<'jwks' | 'metadata', string | false>>
): () => UnprotectedRoute[] {
  const ownPaths = new Set([jwks, metadata].map(path => path !== false && app.prefix + path))
  let isReady = false
  app.addHook('onReady', async () => {
    isReady = true
  })

  return () => {
    if (!isReady) {
      throw new Error('unprotectedRoutes requires a started app; call "await app.ready()" first')
    }

    // With `commonPrefix: false`, find-my-way loses some wildcard routes.
    return findUnprotectedRoutes(app.printRoutes({ includeHooks: true }))
      .filter(({ path }) => !ownPaths.has(path))
  }
}

/**
 * Returns the routes that no `authenticate` hook protects, by path and method.
 *
 * Leaves out `OPTIONS`, and `HEAD` if `GET` is listed.
 *
 * @param tree - Result of `printRoutes({ includeHooks: true })`.
 * @throws Error if the tree has an unknown format, so that no route is missed.
 */
export function findUnprotectedRoutes (tree: string): UnprotectedRoute[] {
  const routes = readRoutes(tree)
    .filter(({ hooks }) => !isProtected(hooks))
    .flatMap(({ path, methods }) => methods.map(method => ({ method, path })))
  const getPaths = new Set(routes.filter(({ method }) => method === 'GET').map(({ path }) => path))

  return routes
    .filter(({ method, path }) =>
      method !== 'OPTIONS' && !(method === 'HEAD' && getPaths.has(path))
    )
    .sort((a, b) => compare(a.path, b.path) || compare(a.method, b.method))
}

/**
 * Whether an app has routes of its own, and none of them is protected.
 *
 * @param tree - Result of `printRoutes({ includeHooks: true })`.
 */
export function isFullyOpen (tree: string): boolean {
  try {
    const routes = readRoutes(tree).filter(({ path, hooks }) =>
      !hooks.includes(OWN_HOOK) && !path.includes('/.well-known/')
    )
    return routes.length > 0 && routes.every(({ hooks }) => !isProtected(hooks))
  } catch {
    // A warning must not depend on the format of the tree.
    return false
  }
}

function isProtected (hooks: readonly string[]): boolean {
  return hooks.some(hook => KNOWN_HOOKS.has(hook))
}

function readRoutes (tree: string): PrintedRoutes[] {
  const routes: PrintedRoutes[] = []
  let nodes: readonly string[] = []

  for (const line of tree.split('\n').filter(line => line !== '')) {
    const node = NODE_PATTERN.exec(line)
    // Other lines belong to the last node, and are indented like its children.
    const rest = node?.[2] ?? line.slice(nodes.length * INDENT)
    const hooks = HOOKS_PATTERN.exec(rest)
    const printed = ROUTES_PATTERN.exec(rest)

    if (node !== null) {
      const label = printed?.[1] ?? rest
      const depth = (node[1] as string).length / INDENT
      nodes = [...nodes.slice(0, depth), label === EMPTY_ROOT ? '' : label]
    }

    if (printed !== null) {
      const methods = (printed[2] as string).split(', ')
      routes.push({ path: nodes.join(''), methods, hooks: [] })
    } else if (hooks !== null) {
      const names = JSON.parse(hooks[2] as string) as string[]
      routes.at(-1)?.hooks.push(...names.map(name => `${hooks[1]}:${name}`))
    } else if (node === null) {
      throw new Error(`fastify-token-auth: printRoutes has an unknown format: ${line}`)
    }
  }

  return routes
}

function compare (a: string, b: string): number {
  return a < b ? -1 : Number(a > b)
}
