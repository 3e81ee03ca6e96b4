import { describeType } from './describe-type.js'

/**
 * Checks that a store got a client of its database.
 *
 * The error never contains the value, because a connection string contains a password.
 *
 * @param methods - Names of methods. The client must have at least one of them.
 * @param example - Expression that creates a client.
 * @throws TypeError if the value has none of the methods.
 */
export function assertClient (value: unknown, methods: readonly string[], example: string): void {
  const members = (value ?? {}) as Record<string, unknown>

  if (typeof value === 'object' && methods.some(name => typeof members[name] === 'function')) {
    return
  }

  const names = methods.map(name => `"${name}"`).join(' or ')
  const type = value === undefined ? 'missing' : describeType(value)
  const difference = value === null || typeof value !== 'object'
    ? `is ${type}`
    : `has no method ${names}`

  throw new TypeError(
    `fastify-token-auth: the store must get a client of its database, such as ${example}, ` +
      `but the value ${difference}`
  )
}
