// Axios with the client's access token, for code that has axios already: a pair of interceptors. Made to be copied.

import { isAxiosError } from 'axios'
import type { AxiosInstance, InternalAxiosRequestConfig } from 'axios'
import type { AuthClient } from 'fastify-token-auth/client'

declare module 'axios' {
  interface AxiosRequestConfig {
    /** The access token that the request was sent with. */
    accessToken?: string
    isSecondTry?: boolean
  }
}

/**
 * Sends the access token along to the server's origin, and to no other. After a 401 the client refreshes, once for all who
 * wait, and the request is sent once more, unless its body is a stream.
 *
 * @param probe A URL of the server, for GET, that demands a good access token: by it the client finds out that its own is not.
 * @returns What takes the interceptors off again.
 */
export function authorize (http: AxiosInstance, auth: AuthClient, probe: string): () => void {
  const { origin } = new URL(probe)

  const onRequest = http.interceptors.request.use(async config => {
    const isOwn = config.headers.has('authorization') && config.accessToken === undefined

    if (isOwn || new URL(http.getUri(config), origin).origin !== origin) {
      return config
    }

    const token = await auth.getAccessToken({ signal: signalOf(config) })
    config.headers.delete('authorization')

    if (token === null) {
      return config
    }

    config.headers.set('authorization', `Bearer ${token}`)
    config.accessToken = token
    // In Node it would take the token along to subdomains. Browsers follow redirects, and leave it behind.
    config.maxRedirects = 0
    return config
  })

  const onResponse = http.interceptors.response.use(null, async (error: unknown) => {
    if (!isAxiosError(error)) {
      throw error
    }

    const { config, response } = error
    const refused = config?.accessToken

    if (response?.status !== 401 || !refused || config.isSecondTry || isStream(config.data)) {
      throw error
    }

    const signal = signalOf(config)

    if (await auth.getAccessToken({ signal }) === refused) {
      await auth.fetch(probe, { signal: signal ?? null })
    }

    const token = await auth.getAccessToken({ signal })

    if (token === null || token === refused) {
      throw error
    }

    return http.request({ ...config, isSecondTry: true })
  })

  return () => {
    http.interceptors.request.eject(onRequest)
    http.interceptors.response.eject(onResponse)
  }
}

function signalOf ({ signal }: InternalAxiosRequestConfig): AbortSignal | undefined {
  return signal as AbortSignal | undefined
}

function isStream (body: unknown): boolean {
  return typeof body === 'object' && body !== null && ('pipe' in body || 'getReader' in body)
}
