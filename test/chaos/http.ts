export interface ClientResponse {
  /** HTTP status, `lost` if the connection broke, or `late` if the client stopped waiting. */
  readonly status: number | 'lost' | 'late'
  /** The `code` of an error. */
  readonly code: string | null
  readonly body: unknown
  /** Milliseconds. */
  readonly duration: number
}

export interface Request {
  readonly method: 'GET' | 'POST'
  readonly bearer?: string
  readonly body?: object
  readonly timeout: number
}

export async function send (
  url: string,
  { method, bearer, body, timeout }: Request
): Promise<ClientResponse> {
  const start = performance.now()

  const createResponse = (
    status: ClientResponse['status'],
    body: unknown = null
  ): ClientResponse => {
    const { code } = (body ?? {}) as { code?: unknown }

    return {
      status,
      code: typeof code === 'string' ? code : null,
      body,
      duration: performance.now() - start
    }
  }

  try {
    const response = await fetch(url, {
      method,
      headers: {
        ...(bearer !== undefined && { authorization: `Bearer ${bearer}` }),
        ...(body !== undefined && { 'content-type': 'application/json' })
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(timeout)
    })
    const text = await response.text()
    return createResponse(response.status, text === '' ? null : JSON.parse(text))
  } catch (error) {
    return createResponse((error as Error).name === 'TimeoutError' ? 'late' : 'lost')
  }
}

/** Returns whether a client must retry, because the outcome of its request is unknown. */
export function isUnsettled ({ status }: ClientResponse): boolean {
  return status === 'lost' || status === 'late' || status === 503
}
