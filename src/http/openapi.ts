import type { FastifyContextConfig, FastifySchema } from 'fastify'
import { TokenAuthError } from '../errors.js'
import type { ResolvedOptions } from '../options/resolve.js'
import { DEFAULT_NAME } from '../options/validate.js'
import { errorHeader } from '../protocol.js'
import type { ErrorCode } from '../protocol.js'
import { challengeBody, errorBody } from './error-schemas.js'
import { toOpenapiDialect } from './openapi-dialect.js'
import type { OpenapiDialect } from './openapi-dialect.js'

/**
 * Credentials that a route requires. `client` means those of an OAuth client. `any-token` means an
 * access token or a refresh token, which the route reads itself.
 */
export type RouteAccess = 'public' | 'token' | 'any-token' | 'client'

/** Documentation of a route. */
export interface RouteDoc {
  /** Distinguishes the operation from others of the registration. */
  readonly id: string
  readonly summary: string
  readonly description?: string
  readonly access: RouteAccess
  /** Errors of the route, in addition to those of every route with its access. */
  readonly errors?: readonly ErrorCode[]
  /** Whether the body may name an OAuth client. */
  readonly namesClient?: boolean
  /** Whether the route responds with 429 even if logins are not throttled. */
  readonly limitsItself?: boolean
  /** Whether the response contains tokens that may travel in cookies. */
  readonly sendsTokens?: boolean
  /** Bodies and content types that the route checks without a schema. */
  readonly documented?: Pick<FastifySchema, 'body'> & {
    readonly consumes?: readonly string[]
    readonly response?: Readonly<Record<number, object>>
  }
}

/** Options that the documentation of a registration depends on. */
export type RouteDocOptions = Pick<
  ResolvedOptions,
  'name' | 'openapi' | 'transport' | 'dpop' | 'oauth' | 'throttle'
>

interface RouteDocSettings extends RouteDocOptions {
  readonly accessCookie: string | null
}

/** Settings of a route: `schema` and `config`. */
export interface RouteSettings {
  readonly schema: FastifySchema
  readonly config: FastifyContextConfig
}

/**
 * Returns the `schema` and the `config` of a route.
 *
 * @param schema - Bodies that Fastify checks and sends.
 */
export type DescribeRoute = (doc: RouteDoc, schema?: FastifySchema) => RouteSettings

/** Argument of a `swaggerTransform`. Has one of the two documents. */
interface TransformInput {
  /** `undefined` if an `onRoute` hook of the app has removed it. */
  readonly schema?: DocumentedSchema | undefined
  readonly url: string
  readonly openapiObject?: {
    readonly openapi?: string
    components?: { securitySchemes?: Record<string, object> }
  }
  readonly swaggerObject?: { securityDefinitions?: Record<string, object> }
}

interface DocumentedSchema {
  readonly body?: { readonly properties?: object }
  readonly response?: object
}

type SecurityScheme = readonly [name: string, openapi: object, swagger: object]

const TOKEN_ERRORS: readonly ErrorCode[] = [
  'AUTH_REQUEST_INVALID',
  'AUTH_ACCESS_MISSING',
  'AUTH_ACCESS_EXPIRED',
  'AUTH_ACCESS_INVALID',
  'AUTH_SESSION_REVOKED',
  'AUTH_DPOP_INVALID',
  'AUTH_DPOP_NONCE',
  'AUTH_CLAIMS_INSUFFICIENT',
  'AUTH_STORE_UNAVAILABLE'
]

const ERRORS_BY_ACCESS: Readonly<Record<RouteAccess, readonly ErrorCode[]>> = {
  public: [],
  token: TOKEN_ERRORS,
  'any-token': TOKEN_ERRORS,
  client: []
}

/**
 * Creates the function that documents the routes of a registration.
 *
 * Adds errors, `security` and its schemes when @fastify/swagger creates the document. The schemas
 * of the routes do not contain them, so that no serializer uses them. The transform of a route also
 * replaces the transform of the app, which often accepts schemas of one library only.
 *
 * @param accessCookie - Complete name of the cookie with the access token; `null` if there is none.
 */
export function createRouteDocs (
  options: RouteDocOptions,
  accessCookie: string | null
): DescribeRoute {
  const { name, openapi: { hide, tags }, transport } = options
  const settings = { ...options, accessCookie }

  return (doc, schema = {}) => {
    const note = doc.sendsTokens === true ? TRANSPORT[transport.kind] : null
    const description = [doc.description, note].filter(text => text != null).join(' ')
    const documentation = {
      operationId: name + doc.id,
      summary: doc.summary,
      ...(description !== '' && { description }),
      tags: tags ?? [name],
      ...(hide && { hide })
    }
    const swaggerTransform = (input: TransformInput): object => ({
      url: input.url,
      schema: hide
        ? input.schema
        : toOpenapiDialect(completeSchema(input, doc, settings), getDialect(input))
    })

    return {
      schema: { ...schema, ...documentation },
      config: {
        ...(doc.access !== 'token' && { tokenAuth: 'public' as const }),
        // The types of @fastify/swagger declare this member in apps that use it.
        ...{ swaggerTransform } as object
      }
    }
  }
}

const TRANSPORT = {
  none: null,
  body: null,
  cookie: 'An HttpOnly cookie carries the refresh token.',
  both: 'With `X-Token-Transport: cookie`, an HttpOnly cookie carries the refresh token.'
}

function getDialect ({ openapiObject }: TransformInput): OpenapiDialect {
  if (openapiObject === undefined) {
    return 'swagger-2.0'
  }

  return /^3\.0\./.test(openapiObject.openapi ?? '3.0.0') ? 'openapi-3.0' : 'openapi-3.1'
}

function completeSchema (
  { schema = {}, openapiObject, swaggerObject }: TransformInput,
  doc: RouteDoc,
  settings: RouteDocSettings
): object {
  const schemes = getSecuritySchemes(doc.access, settings)

  if (openapiObject !== undefined) {
    const { components = {} } = openapiObject
    const added = Object.fromEntries(schemes.map(([name, scheme]) => [name, scheme]))
    components.securitySchemes = { ...added, ...components.securitySchemes }
    openapiObject.components = components
  } else if (swaggerObject !== undefined) {
    const added = Object.fromEntries(schemes.map(([name, , scheme]) => [name, scheme]))
    swaggerObject.securityDefinitions = { ...added, ...swaggerObject.securityDefinitions }
  }

  const { response, ...documented } = doc.documented ?? {}

  return {
    ...schema,
    ...(doc.namesClient === true && settings.oauth !== null && { body: addClient(schema.body) }),
    ...documented,
    security: [
      ...schemes.map(([name]) => ({ [name]: [] })),
      // The body may contain the credentials of a client, or a refresh token.
      ...(doc.access === 'client' || doc.access === 'any-token' ? [{}] : [])
    ],
    response: {
      ...schema.response,
      ...response,
      ...createErrorResponses(doc, settings)
    }
  }
}

function addClient (body: DocumentedSchema['body'] = {}): object {
  const string = { type: 'string', nullable: true }
  return { ...body, properties: { ...body.properties, client_id: string, client_secret: string } }
}

function getSecuritySchemes (
  access: RouteAccess,
  { name, openapi, accessCookie, dpop }: RouteDocSettings
): readonly SecurityScheme[] {
  const prefix = name === DEFAULT_NAME ? '' : `${name}-`
  const inHeader = { type: 'apiKey', in: 'header', name: 'authorization' }

  if (access === 'client') {
    return [[`${prefix}clientAuth`, { type: 'http', scheme: 'basic' }, { type: 'basic' }]]
  }

  if (access === 'public') {
    return []
  }

  const bearer = { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' }
  const schemes: SecurityScheme[] = [[
    openapi.securityScheme ?? `${prefix}bearerAuth`,
    bearer,
    inHeader
  ]]

  if (dpop !== null) {
    schemes.push([`${prefix}dpopAuth`, { type: 'http', scheme: 'DPoP' }, inHeader])
  }

  if (accessCookie !== null) {
    const inCookie = { type: 'apiKey', in: 'cookie', name: accessCookie }
    // Swagger 2.0 has no type for cookies.
    schemes.push([`${prefix}cookieAuth`, inCookie, { ...inCookie, in: 'header', name: 'cookie' }])
  }

  return schemes
}

function createErrorResponses (
  { access, errors = [], limitsItself = false }: RouteDoc,
  settings: RouteDocSettings
): Record<number, object> {
  const descriptions: Record<number, string[]> = {}

  for (const code of new Set([...ERRORS_BY_ACCESS[access], ...errors])) {
    const isOwnLimit = limitsItself && code === 'AUTH_TOO_MANY_ATTEMPTS'

    if (isOwnLimit || isPossible(code, access, settings)) {
      const { statusCode, message } = new TokenAuthError(code)
      const list = descriptions[statusCode] ??= []
      list.push(`\`${code}\`: ${message}.`)
    }
  }

  return Object.fromEntries(
    Object.entries(descriptions).map(([statusCode, lines]) => [statusCode, {
      ...(isChallenge(Number(statusCode), errors) ? challengeBody : errorBody),
      description: lines.join(' '),
      headers: getErrorHeaders(Number(statusCode))
    }])
  )
}

function isChallenge (statusCode: number, errors: readonly ErrorCode[]): boolean {
  return statusCode === 401 && errors.includes('AUTH_SECOND_FACTOR_REQUIRED')
}

function isPossible (
  code: ErrorCode,
  access: RouteAccess,
  { transport, accessCookie, dpop, oauth, throttle }: RouteDocSettings
): boolean {
  const usesCookies = access === 'token'
    ? accessCookie !== null
    : transport.refreshCookie !== null

  switch (code) {
    case 'AUTH_ORIGIN_REJECTED':
      return usesCookies
    case 'AUTH_DPOP_INVALID':
    case 'AUTH_DPOP_NONCE':
      return dpop !== null
    case 'AUTH_CLIENT_REJECTED':
    case 'AUTH_CLAIMS_INSUFFICIENT':
      return oauth !== null
    case 'AUTH_TOO_MANY_ATTEMPTS':
      return throttle !== null
    default:
      return true
  }
}

function getErrorHeaders (statusCode: number): Record<string, object> {
  const code = {
    [errorHeader]: { type: 'string', description: 'The code, also if the body has none.' }
  }

  switch (statusCode) {
    case 401:
      return { ...code, 'www-authenticate': { type: 'string' } }
    case 429:
    case 503:
      return {
        ...code,
        'retry-after': { type: 'integer', description: 'Seconds after which to retry.' }
      }
    default:
      return code
  }
}
