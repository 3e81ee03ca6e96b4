import { createContext, useContext, useEffect, useState, useSyncExternalStore } from 'react'
import type { ReactNode } from 'react'
import type { AuthClient, AuthState } from 'fastify-token-auth/client'

const ClientContext = createContext<AuthClient | null>(null)

/** Properties of {@link AuthProvider}. */
export interface AuthProviderProps {
  /** Creates the client. Declare it outside of components: a new function creates a new client. */
  readonly create: () => AuthClient
  readonly children: ReactNode
}

/**
 * Creates a client for the components below it, and disposes of the client when it unmounts.
 *
 * One effect does both, so that Strict Mode and hot reload leave no client behind, and a server
 * that renders creates none. The session outlives all of them.
 *
 * @example
 * ```tsx
 * const create = () => createAuthClient({ baseUrl: 'https://api.example.org' })
 *
 * createRoot(element).render(<AuthProvider create={create}><App /></AuthProvider>)
 * ```
 */
export function AuthProvider ({ create, children }: AuthProviderProps): ReactNode {
  const [client, setClient] = useState<AuthClient | null>(null)
  useEffect(() => {
    const newClient = create()
    setClient(newClient)

    return () => {
      newClient.dispose()
      setClient(null)
    }
  }, [create])
  return client && <ClientContext.Provider value={client}>{children}</ClientContext.Provider>
}

/** State of the session, and the client. */
export interface Auth extends AuthState {
  readonly client: AuthClient
}

/**
 * Returns the state of the session, and renders again when it changes in any tab.
 *
 * @throws Error if the component is not inside of `AuthProvider`.
 */
export function useAuth (): Auth {
  const client = useContext(ClientContext)

  if (client === null) {
    throw new Error('useAuth requires an AuthProvider around the component')
  }

  const state = useSyncExternalStore(client.subscribe, () => client.state)
  return { ...state, client }
}
