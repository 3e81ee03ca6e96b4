import { createContext, createElement } from 'react'
import type { ReactElement, ReactNode } from 'react'
import type { AuthClient } from '../types.js'
import { inactiveClient } from './inactive-client.js'

/** Client of the nearest {@link AuthProvider}; `null` if there is none. */
export const ClientContext = createContext<AuthClient | null>(null)

/** Properties of {@link AuthProvider}. */
export interface AuthProviderProps {
  /**
   * The client of the app.
   *
   * Create it once, in a module of its own. `null` on a server, where all users would share it.
   *
   * @example
   * ```ts
   * export const auth = typeof window === 'undefined' ? null : createAuthClient<User>()
   * ```
   */
  readonly client: AuthClient | null
  /** Components that use the client. */
  readonly children?: ReactNode
}

/**
 * Provides a client to the components below it.
 *
 * The app owns the client. The provider has no effects and never disposes of the client, so Strict
 * Mode, hot reload and a second provider do not change the session.
 *
 * @example
 * ```tsx
 * import { createRoot } from 'react-dom/client'
 * import { createAuthClient } from 'fastify-token-auth/client'
 * import { AuthProvider } from 'fastify-token-auth/client/react'
 *
 * const auth = createAuthClient()
 * createRoot(element).render(<AuthProvider client={auth}><App /></AuthProvider>)
 * ```
 */
export function AuthProvider ({ client, children }: AuthProviderProps): ReactElement {
  return createElement(ClientContext.Provider, { value: client ?? inactiveClient }, children)
}
