import { assert, boolean, optional } from './validate.js'
import type { Shape } from './validate.js'

/**
 * Options for the OpenAPI document that `@fastify/swagger` creates.
 *
 * The document describes every route of the plugin: summary, bodies, errors and `security`.
 */
export interface OpenApiOptions {
  /**
   * Whether the document leaves out all routes of the plugin.
   *
   * @default false
   */
  readonly hide?: boolean

  /**
   * Tags of the routes, which group them in the document.
   *
   * @default the option `name` of the registration
   * @example
   * ```ts
   * openapi: { tags: ['Sign-in'] }
   * ```
   */
  readonly tags?: readonly string[]

  /**
   * Name of the security scheme of access tokens, a key of `components.securitySchemes`.
   *
   * The plugin adds the scheme unless the app defines one with this name.
   *
   * @default 'bearerAuth'; with another `name` than 'auth', the name followed by '-bearerAuth'
   * @example
   * ```ts
   * openapi: { securityScheme: 'bearer' }
   * ```
   */
  readonly securityScheme?: string
}

/** Checks of {@link OpenApiOptions}. */
export const openApiShape = {
  hide: boolean(false),
  tags: optional(resolveTags),
  securityScheme: optional(resolveComponentName)
} satisfies Shape<OpenApiOptions>

function resolveTags (value: unknown, path: string): readonly string[] {
  assert(
    Array.isArray(value) && value.every(tag => typeof tag === 'string' && tag !== ''),
    `"${path}" must be an array of non-empty strings, such as ["Sign-in"]`
  )
  return value
}

// Names of components are limited to these characters (OpenAPI 3.1, section 4.8.7).
function resolveComponentName (value: unknown, path: string): string {
  assert(
    typeof value === 'string' && /^[\w.-]+$/.test(value),
    `"${path}" must consist of letters, digits and any of "._-", such as "bearerAuth"`
  )
  return value
}
