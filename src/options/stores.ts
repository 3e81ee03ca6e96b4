import { describeType } from '../lib/describe-type.js'
import type { AttemptStore } from '../stores/attempt-store.js'
import type { TokenStore } from '../stores/token-store.js'
import { hasMethod, implementation } from './validate.js'
import type { Check } from './validate.js'

type Member = readonly [member: string, database: string, subpath: string]

/** Methods by which the clients of databases differ, in the order in which they are tried. */
const CLIENT_MEMBERS: readonly Member[] = [
  ['getConnection', 'Mysql', 'mysql'],
  ['evalsha', 'Redis', 'redis'],
  ['sendCommand', 'Redis', 'redis'],
  ['prepare', 'Sqlite', 'sqlite'],
  ['query', 'Postgres', 'postgres']
]

/** Creates a check for a token store. */
export function tokenStore (): Check<TokenStore> {
  return implementation<TokenStore>(
    ['check', 'create', 'rotate', 'find', 'list', 'revoke', 'touch', 'revocations', 'sweep'],
    'a TokenStore, such as new MemoryStore() from fastify-token-auth/memory',
    (value, missing) => describe(value, missing, 'Store')
  )
}

/**
 * Creates a check for an attempt store.
 *
 * @param example - Expression that creates one.
 */
export function attemptStore (example: string): Check<AttemptStore> {
  return implementation<AttemptStore>(
    ['check', 'consume', 'refund', 'reset', 'sweep'],
    `an AttemptStore, such as ${example}`,
    (value, missing) => describe(value, missing, 'Attempts')
  )
}

// Never shows the value. A connection string contains a password.
function describe (value: unknown, missing: string, suffix: string): string {
  if (value == null) {
    return 'is missing'
  }

  if (typeof value === 'function') {
    return `is a function or class; for a class, write new ${value.name || 'Store'}(...)`
  }

  if (typeof value !== 'object') {
    return `is ${describeType(value)}; create a client of the database, and pass a store for it`
  }

  const client = CLIENT_MEMBERS.find(([member]) => hasMethod(value, member))

  if (client !== undefined) {
    const [, database, subpath] = client

    return 'is a client of a database; ' +
      `pass new ${database}${suffix}(client) from fastify-token-auth/${subpath}`
  }

  return `has no method "${missing}"`
}
