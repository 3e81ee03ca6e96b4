import { getOwnKeys } from '../tokens/keys.js'
import type { ResolvedOptions } from './resolve.js'

type RegisteredOptions = Pick<
  ResolvedOptions,
  'name' | 'keys' | 'acceptedIssuers' | 'acceptedAudiences'
>

// Registrations of an app, by its server. All scopes of an app share the server.
const registrations = new WeakMap<object, RegisteredOptions[]>()

/**
 * Adds a registration to an app.
 *
 * Two registrations with the same name or the same keys would accept each other's tokens.
 *
 * @throws Error if the name exists, or if another registration accepts the same key, issuer and
 * audience.
 */
export function addRegistration (
  server: object,
  { name, keys, acceptedIssuers, acceptedAudiences }: RegisteredOptions
): void {
  const others = registrations.get(server) ?? []
  registrations.set(server, others)

  if (others.some(other => other.name === name)) {
    throw new Error(
      `fastify-token-auth: "name" must be unique in an app; "${name}" is registered already`
    )
  }

  const twin = others.find(other =>
    overlap(other.acceptedIssuers, acceptedIssuers) &&
    overlap(other.acceptedAudiences, acceptedAudiences) && haveSameKey(other.keys, keys)
  )

  if (twin !== undefined) {
    throw new Error(
      `fastify-token-auth: the registrations "${twin.name}" and "${name}" have the same "keys", ` +
        '"issuer" and "audience"; set another "audience" for one of them'
    )
  }

  others.push({ name, keys, acceptedIssuers, acceptedAudiences })
}

function overlap (
  some: ReadonlyArray<string | undefined>,
  others: ReadonlyArray<string | undefined>
): boolean {
  return some.some(value => others.includes(value))
}

function haveSameKey (
  one: RegisteredOptions['keys'],
  other: RegisteredOptions['keys']
): boolean {
  return getOwnKeys(one ?? []).some(({ verifying }) =>
    getOwnKeys(other ?? []).some(key => key.verifying.equals(verifying))
  )
}
