// One request of a client, and what came of it.

export interface Answer {
  /** Of HTTP; `lost` where the connection broke, `late` where the client gave up waiting. */
  readonly status: number | 'lost' | 'late'
  /** The `code` of an error. */
  readonly code: string | null
  readonly body: unknown
  /** Milliseconds. */
  readonly took: number
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
): Promise<Answer> {
  const start = performance.now()

  const answer = (status: Answer['status'], given: unknown = null): Answer => {
    const { code } = (given ?? {}) as { code?: unknown }

    return {
      status,
      code: typeof code === 'string' ? code : null,
      body: given,
      took: performance.now() - start
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
    return answer(response.status, text === '' ? null : JSON.parse(text))
  } catch (error) {
    return answer((error as Error).name === 'TimeoutError' ? 'late' : 'lost')
  }
}

/** Whether a client must ask again: nobody has told it what became of its request. */
export function isUnsettled ({ status }: Answer): boolean {
  return status === 'lost' || status === 'late' || status === 503
}
