import { readBody } from './response-body.js'

/** Request to a route of the issuer, with the credentials of an OAuth client. */
export interface IssuerRequest {
  readonly uri: URL
  readonly authorization: string
  readonly contentType: string
  readonly body: string
  readonly signal: AbortSignal
  /** Maximum length of the response in bytes. */
  readonly maxLength: number
}

/** Creates the header of HTTP Basic. Both parts are form-encoded (RFC 6749, section 2.3.1). */
export function createAuthorization (
  { clientId, clientSecret }: { readonly clientId: string, readonly clientSecret: string }
): string {
  const credentials = [clientId, clientSecret].map(encodeURIComponent).join(':')
  return `Basic ${Buffer.from(credentials).toString('base64')}`
}

/**
 * Sends a request to the issuer and returns the JSON of its response. Follows no redirect.
 *
 * @throws RangeError if the status is not 200, or the response is too long.
 * @throws Error if the issuer does not respond, or not with JSON.
 */
export async function requestIssuer (
  { uri, authorization, contentType, body, signal, maxLength }: IssuerRequest
): Promise<unknown> {
  const response = await fetch(uri, {
    method: 'POST',
    headers: { authorization, accept: 'application/json', 'content-type': contentType },
    body,
    redirect: 'manual',
    signal
  })

  if (response.status !== 200) {
    await response.body?.cancel()
    throw new RangeError(`status ${response.status}`)
  }

  return JSON.parse(await readBody(response, maxLength))
}

/**
 * Describes a failed request for the log: a message of this package, or the name and the code.
 *
 * Errors of `JSON.parse` quote their input, so their message is left out.
 */
export function describeFailure (error: Error): string {
  if (error instanceof RangeError) {
    return error.message
  }

  const { code } = (error.cause ?? {}) as { readonly code?: unknown }
  return typeof code === 'string' ? `${error.name} ${code}` : error.name
}
