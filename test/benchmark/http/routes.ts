import { createRatioRow, isSmokeRun } from '../comparison.js'
import type { Comparison, ResultRow, RunSettings } from '../comparison.js'
import { compareServers, CONNECTIONS, hasPeers } from './compare-servers.js'
import type { ServerCandidate } from './compare-servers.js'
import type { Algorithm, ServerSettings } from './servers/shared.js'

const UNIT = 'requests per CPU second'
const FEW_TOKENS = 1000
const MANY_TOKENS = 100_000

// The cache never drops the newer half of its tokens, so that this size keeps all of them.
const getCacheSize = (tokens: number): number => 2 * tokens

function createCandidate (
  module: string,
  settings: Partial<ServerSettings> = {},
  functionName = 'startProtectedServer'
): ServerCandidate {
  return {
    module: { path: `./servers/${module}.ts`, functionName },
    settings: { alg: 'HS256', tokens: FEW_TOKENS, ...settings }
  }
}

/** Returns a candidate by its name, or nothing if the peers are not installed. */
function createPeer (
  name: string,
  settings: Partial<ServerSettings> = {},
  functionName = 'startProtectedServer'
): Record<string, ServerCandidate> {
  return hasPeers
    ? {
      [name]: {
        module: { path: `../peers/${name}.ts`, functionName },
        settings: { alg: 'HS256', tokens: FEW_TOKENS, ...settings }
      }
    }
    : {}
}

/** Creates a row for each limit whose candidate was measured. */
function createRows (
  comparison: Comparison,
  work: string,
  ours: string,
  limits: Readonly<Record<string, number | null>>
): ResultRow[] {
  return Object.entries(limits)
    .filter(([theirs]) => theirs in comparison.medians)
    .map(([theirs, limit]) => createRatioRow(limit, work, [ours, theirs], comparison, UNIT))
}

/** Compares protected routes with HS256. */
export async function measureProtectedRoute (settings: RunSettings): Promise<ResultRow[]> {
  const ours = 'fastify-token-auth'
  const comparison = await compareServers({
    [ours]: createCandidate('token-auth'),
    'an empty onRequest hook': createCandidate('token-auth', {}, 'startUnprotectedServer'),
    '@fastify/jwt': createCandidate('fastify-jwt'),
    '@fastify/jwt with its cache': createCandidate('fastify-jwt', {
      cache: getCacheSize(FEW_TOKENS)
    }),
    jose: createCandidate('jose'),
    ...createPeer('better-auth'),
    ...createPeer('fastify-session'),
    ...createPeer('express-jsonwebtoken')
  }, settings)

  return createRows(comparison, 'protected route, HS256, 1,000 valid tokens', ours, {
    'an empty onRequest hook': 0.95,
    '@fastify/jwt': 1.5,
    '@fastify/jwt with its cache': null,
    jose: null,
    'better-auth': 10,
    'fastify-session': null,
    'express-jsonwebtoken': 10
  })
}

/** Compares protected routes with key pairs. */
export async function measureProtectedRouteWithKeyPairs (
  settings: RunSettings
): Promise<ResultRow[]> {
  const rows: ResultRow[] = []

  for (const alg of ['EdDSA', 'ES256'] satisfies Algorithm[]) {
    const ours = 'fastify-token-auth'
    const comparison = await compareServers({
      [ours]: createCandidate('token-auth', { alg }),
      '@fastify/jwt': createCandidate('fastify-jwt', { alg }),
      '@fastify/jwt with its cache': createCandidate('fastify-jwt', {
        alg,
        cache: getCacheSize(FEW_TOKENS)
      }),
      jose: createCandidate('jose', { alg })
    }, settings)
    const limits = { '@fastify/jwt': 5, '@fastify/jwt with its cache': null, jose: 5 }
    rows.push(
      ...createRows(comparison, `protected route, ${alg}, 1,000 valid tokens`, ours, limits)
    )
  }

  return rows
}

/** Compares protected routes with more tokens than the default cache holds. */
export async function measureProtectedRouteWithManyTokens (
  settings: RunSettings
): Promise<ResultRow[]> {
  const tokens = isSmokeRun(settings) ? MANY_TOKENS / 10 : MANY_TOKENS
  const fewTokens = 'fastify-token-auth with 1,000 tokens'
  const ours = 'fastify-token-auth'
  const largeCache = 'fastify-token-auth with a cache for all tokens'
  const theirs = '@fastify/jwt'
  const comparison = await compareServers({
    [fewTokens]: createCandidate('token-auth'),
    [ours]: createCandidate('token-auth', { tokens }),
    [largeCache]: createCandidate('token-auth', { tokens, cache: getCacheSize(tokens) }),
    [theirs]: createCandidate('fastify-jwt', { tokens })
  }, settings)
  const work = `protected route, HS256, ${tokens.toLocaleString('en')} valid tokens`

  return [
    ...createRows(comparison, `${work}, small cache`, ours, { [theirs]: 1 }),
    ...createRows(comparison, `${work}, large cache`, largeCache, {
      [fewTokens]: 0.75,
      [theirs]: null
    })
  ]
}

/** Compares a service that verifies tokens with and without `sync`. */
export async function measureVerifierSync (settings: RunSettings): Promise<ResultRow[]> {
  const ours = 'tokenVerifier with sync'
  const comparison = await compareServers({
    [ours]: createCandidate('verifier', {}, 'startVerifierWithSync'),
    tokenVerifier: createCandidate('verifier', {}, 'startVerifier')
  }, settings)

  return createRows(comparison, 'protected route of a service, EdDSA, 1,000 valid tokens', ours, {
    tokenVerifier: 0.97
  })
}

/** Compares refresh routes. Each connection presents the refresh token of its last response. */
export async function measureRefreshRoute (settings: RunSettings): Promise<ResultRow[]> {
  const ours = 'fastify-token-auth'
  const oursWithEdDSA = `${ours} with EdDSA`
  const theirsWithEdDSA = '@fastify/jwt with EdDSA'
  const tokens = CONNECTIONS + 1
  const comparison = await compareServers({
    [ours]: createCandidate('token-auth', { tokens }, 'startRefreshServer'),
    'an empty POST route': {
      ...createCandidate('baseline', { tokens }, 'startRefreshServer'),
      imitates: ours
    },
    'hand-written @fastify/jwt': createCandidate('fastify-jwt', { tokens }, 'startRefreshServer'),
    ...createPeer('better-auth', { tokens }, 'startRefreshServer'),
    ...createPeer('oidc-provider', { tokens }, 'startRefreshServer'),
    [oursWithEdDSA]: createCandidate('token-auth', { tokens, alg: 'EdDSA' }, 'startRefreshServer'),
    [theirsWithEdDSA]: createCandidate(
      'fastify-jwt',
      { tokens, alg: 'EdDSA' },
      'startRefreshServer'
    )
  }, settings)
  const work = `refresh, ${CONNECTIONS} concurrent, memory store`

  return [
    ...createRows(comparison, `${work}, HS256`, ours, {
      'an empty POST route': 0.36,
      'hand-written @fastify/jwt': 0.95,
      'better-auth': 15,
      'oidc-provider': 2.2
    }),
    ...createRows(comparison, `${work}, EdDSA`, oursWithEdDSA, {
      [theirsWithEdDSA]: 7,
      'an empty POST route': null
    })
  ]
}
