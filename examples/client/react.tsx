// React: a provider that owns a client, and `useAuth`. Made to be copied.
//
//   const create = () => createAuthClient({ baseUrl: 'https://api.example.org' })
//   createRoot(element).render(<AuthProvider create={create}><App /></AuthProvider>)

import { createContext, useContext, useEffect, useState, useSyncExternalStore } from 'react'
import type { ReactNode } from 'react'
import type { AuthClient, AuthState } from 'fastify-token-auth/client'

const ClientContext = createContext<AuthClient | null>(null)

export interface AuthProviderProps {
  /** Makes the client. Always the same function, so declared outside of components: another one makes another client. */
  readonly create: () => AuthClient
  readonly children: ReactNode
}

/**
 * The client is made and disposed of by one effect, so that each has its end: with Strict Mode, which runs it twice, with hot
 * reload, which runs it again, and where a server renders, which does not run it. Who is signed in outlives all of them.
 */
export function AuthProvider ({ create, children }: AuthProviderProps): ReactNode {
  const [client, setClient] = useState<AuthClient | null>(null)
  useEffect(() => {
    const made = create()
    setClient(made)

    return () => {
      made.dispose()
      setClient(null)
    }
  }, [create])
  return client && <ClientContext.Provider value={client}>{children}</ClientContext.Provider>
}

export interface Auth extends AuthState {
  readonly client: AuthClient
}

/** Who is signed in, and the client. Renders anew when that changes, also in another tab. */
export function useAuth (): Auth {
  const client = useContext(ClientContext)

  if (client === null) {
    throw new Error('useAuth is for components inside AuthProvider')
  }

  const state = useSyncExternalStore(client.subscribe, () => client.state)
  return { ...state, client }
}
