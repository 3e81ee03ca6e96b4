/** Format of an API description. */
export type OpenapiDialect = 'swagger-2.0' | 'openapi-3.0' | 'openapi-3.1'

/**
 * Converts a schema of the plugin, which may have `nullable`, to a format.
 *
 * Only OpenAPI 3.0 has `nullable`. OpenAPI 3.1 has lists of types. Swagger 2.0 has neither, and no
 * `anyOf`, so that a member may have any type there. Its responses have one schema for all content
 * types.
 */
export function toOpenapiDialect (schema: unknown, dialect: OpenapiDialect): unknown {
  if (dialect === 'openapi-3.0' || typeof schema !== 'object' || schema === null) {
    return schema
  }

  if (Array.isArray(schema)) {
    return schema.map(item => toOpenapiDialect(item, dialect))
  }

  const members = Object.entries(schema).map(([name, member]) =>
    [name, toOpenapiDialect(member, dialect)] as const
  )
  const { nullable, ...rest } = Object.fromEntries(members)

  if (dialect === 'openapi-3.1') {
    return { ...rest, ...(nullable === true && { type: [rest.type, 'null'] }) }
  }

  const { anyOf, content, ...plain } = rest
  const [first] = Object.values(content ?? {}) as Array<{ readonly schema?: object }>
  return { ...first?.schema, ...plain, ...(nullable === true && { 'x-nullable': true }) }
}
