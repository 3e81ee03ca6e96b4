import { isAxiosError } from 'axios'
import type { AxiosInstance, InternalAxiosRequestConfig } from 'axios'
import type { AuthClient } from 'fastify-token-auth/client'

declare module 'axios' {
  interface AxiosRequestConfig {
    /** Access token that the interceptor added to the request. */
    accessToken?: string
    isRetry?: boolean
  }
}

/**
 * Adds interceptors to axios that send the access token of the client to the origin of the server.
 *
 * After a 401, the client refreshes once for all waiting requests, and each request is sent again,
 * unless its body is a stream.
 *
 * @param probeUrl URL of a GET route of the server that requires an access token. After a 401, the
 *   client calls it to find out whether its token is still accepted.
 * @returns A function that removes the interceptors.
 */
export function addAuthInterceptors (
  http: AxiosInstance,
  auth: AuthClient,
  probeUrl: string
): () => void {
  const { origin } = new URL(probeUrl)

  const onRequest = http.interceptors.request.use(async config => {
    const hasOwnHeader = config.headers.has('authorization') && config.accessToken === undefined

    if (hasOwnHeader || new URL(http.getUri(config), origin).origin !== origin) {
      return config
    }

    const token = await auth.getAccessToken({ signal: getSignal(config) })
    config.headers.delete('authorization')

    if (token === null) {
      return config
    }

    config.headers.set('authorization', `Bearer ${token}`)
    config.accessToken = token
    // In Node.js, a redirect would send the token to subdomains. Browsers drop it by themselves.
    config.maxRedirects = 0
    return config
  })

  const onResponse = http.interceptors.response.use(null, async (error: unknown) => {
    if (!isAxiosError(error)) {
      throw error
    }

    const { config, response } = error
    const rejectedToken = config?.accessToken

    if (response?.status !== 401 || !rejectedToken || config.isRetry || isStream(config.data)) {
      throw error
    }

    const signal = getSignal(config)

    if (await auth.getAccessToken({ signal }) === rejectedToken) {
      await auth.fetch(probeUrl, { signal: signal ?? null })
    }

    const token = await auth.getAccessToken({ signal })

    if (token === null || token === rejectedToken) {
      throw error
    }

    return http.request({ ...config, isRetry: true })
  })

  return () => {
    http.interceptors.request.eject(onRequest)
    http.interceptors.response.eject(onResponse)
  }
}

function getSignal ({ signal }: InternalAxiosRequestConfig): AbortSignal | undefined {
  return signal as AbortSignal | undefined
}

function isStream (body: unknown): boolean {
  return typeof body === 'object' && body !== null && ('pipe' in body || 'getReader' in body)
}
