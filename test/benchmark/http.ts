// What a request costs: a protected route, and a refresh. In requests for each second of the server's CPU time.

import type { Algorithm, Setup } from './contestants/contestant.js'
import { CONNECTIONS, hasPeers, race } from './race.js'
import type { Entrant } from './race.js'
import { atLeast, isBrief } from './rounds.js'
import type { Comparison, Effort, Row } from './rounds.js'

const UNIT = 'requests per CPU second'
const FEW = 1000
const MANY = 100_000
// The cache keeps what was used in the younger half of it for sure, so twice the tokens are never forgotten.
const sizeFor = (tokens: number): number => 2 * tokens

function own (module: string, setup: Partial<Setup> = {}, name = 'start'): Entrant {
  return {
    place: { module: `./contestants/${module}.ts`, name },
    setup: { alg: 'HS256', tokens: FEW, ...setup }
  }
}

function peer (
  module: string,
  setup: Partial<Setup> = {},
  name = 'start'
): Record<string, Entrant> {
  if (!hasPeers) {
    return {}
  }

  return {
    [module]: {
      place: { module: `./peers/${module}.ts`, name },
      setup: { alg: 'HS256', tokens: FEW, ...setup }
    }
  }
}

/** Lines of peers that are not installed are left out. */
function lines (
  comparison: Comparison,
  work: string,
  ours: string,
  limits: Readonly<Record<string, number | null>>
): Row[] {
  return Object.entries(limits).filter(([theirs]) => theirs in comparison.medians)
    .map(([theirs, limit]) => atLeast(limit, work, [ours, theirs], comparison, UNIT))
}

/** The protected route with HS256. */
export async function protectedRoute (effort: Effort): Promise<Row[]> {
  const ours = 'fastify-token-auth'
  const comparison = await race({
    [ours]: own('ours'),
    'an empty onRequest hook': own('ours', {}, 'startUnprotected'),
    '@fastify/jwt': own('fastify-jwt'),
    '@fastify/jwt with its cache': own('fastify-jwt', { cache: sizeFor(FEW) }),
    jose: own('jose'),
    ...peer('better-auth'),
    ...peer('fastify-session'),
    ...peer('express-jsonwebtoken')
  }, effort)

  return lines(comparison, 'protected route, HS256, 1,000 live tokens', ours, {
    'an empty onRequest hook': 0.95,
    '@fastify/jwt': 2.5,
    '@fastify/jwt with its cache': null,
    jose: null,
    'better-auth': 10,
    'fastify-session': 4,
    'express-jsonwebtoken': 10
  })
}

/** The same with key pairs. */
export async function protectedRouteByKeyPairs (effort: Effort): Promise<Row[]> {
  const rows: Row[] = []

  for (const alg of ['EdDSA', 'ES256'] satisfies Algorithm[]) {
    const ours = 'fastify-token-auth'
    const comparison = await race({
      [ours]: own('ours', { alg }),
      '@fastify/jwt': own('fastify-jwt', { alg }),
      '@fastify/jwt with its cache': own('fastify-jwt', { alg, cache: sizeFor(FEW) }),
      jose: own('jose', { alg })
    }, effort)
    const limits = { '@fastify/jwt': 5, '@fastify/jwt with its cache': null, jose: 5 }
    rows.push(...lines(comparison, `protected route, ${alg}, 1,000 live tokens`, ours, limits))
  }

  return rows
}

/** The same with more tokens than the cache holds by default, and with a cache that is large enough. */
export async function protectedRouteManyTokens (effort: Effort): Promise<Row[]> {
  const tokens = isBrief(effort) ? MANY / 10 : MANY
  const [few, ours, sized, theirs] = [
    'fastify-token-auth with 1,000 tokens',
    'fastify-token-auth',
    'with a cache for all',
    '@fastify/jwt'
  ]
  const comparison = await race({
    [few]: own('ours'),
    [ours]: own('ours', { tokens }),
    [sized]: own('ours', { tokens, cache: sizeFor(tokens) }),
    [theirs]: own('fastify-jwt', { tokens })
  }, effort)
  const work = `protected route, HS256, ${tokens.toLocaleString('en')} live tokens`

  return [
    ...lines(comparison, `${work}, cache too small`, ours, { [theirs]: 1 }),
    ...lines(comparison, `${work}, cache large enough`, sized, { [few]: 0.75, [theirs]: null })
  ]
}

/** Refresh tokens that are traded for the next, each chain by one client. */
export async function refreshRoute (effort: Effort): Promise<Row[]> {
  const ours = 'fastify-token-auth'
  const [ourEdDSA, theirEdDSA] = [`${ours} with EdDSA`, '@fastify/jwt with EdDSA']
  const tokens = CONNECTIONS + 1
  const comparison = await race({
    [ours]: own('ours', { tokens }, 'startRefresh'),
    'a bare POST': { ...own('bare', { tokens }, 'startRefresh'), like: ours },
    '@fastify/jwt by hand': own('fastify-jwt', { tokens }, 'startRefresh'),
    ...peer('better-auth', { tokens }, 'startRefresh'),
    ...peer('oidc-provider', { tokens }, 'startRefresh'),
    [ourEdDSA]: own('ours', { tokens, alg: 'EdDSA' }, 'startRefresh'),
    [theirEdDSA]: own('fastify-jwt', { tokens, alg: 'EdDSA' }, 'startRefresh')
  }, effort)
  const work = `refresh, ${CONNECTIONS} at once, memory store`

  return [
    ...lines(comparison, `${work}, HS256`, ours, {
      'a bare POST': 0.6,
      '@fastify/jwt by hand': 2.5,
      'better-auth': 15,
      'oidc-provider': 4
    }),
    ...lines(comparison, `${work}, EdDSA`, ourEdDSA, { [theirEdDSA]: 8, 'a bare POST': null })
  ]
}
