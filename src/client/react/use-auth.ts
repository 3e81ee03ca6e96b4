import { useContext, useMemo, useSyncExternalStore } from 'react'
import type { AuthClient, AuthState } from '../types.js'
import { ClientContext } from './auth-provider.js'
import { inactiveClient } from './inactive-client.js'

/** Functions of an {@link AuthClient} that components call. They stay the same. */
export type AuthActions<User extends object = object> = Omit<
  AuthClient<User>,
  'state' | 'ready' | 'subscribe' | 'dispose'
>

/** State of the session, and the functions that change or use it. Result of {@link useAuth}. */
export type Auth<User extends object = object> = AuthState<User> & AuthActions<User>

/**
 * Returns the state of the session and the functions of the client.
 *
 * The component renders again when the state changes in any tab. A refresh does not change it. The
 * result stays the same until then.
 *
 * The first render in the browser equals the one of the server: its status is `starting`. The type
 * argument is the user that the server returns. The hook does not check it.
 *
 * @throws Error if the component is not inside of an `AuthProvider`
 * @example
 * ```tsx
 * import { useAuth } from 'fastify-token-auth/client/react'
 *
 * function Profile () {
 *   const { status, user, logout } = useAuth<{ name: string }>()
 *
 *   if (status !== 'signed-in') {
 *     return <p>{status}</p>
 *   }
 *
 *   return <button onClick={() => logout()}>Sign out {user?.name}</button>
 * }
 * ```
 */
export function useAuth<User extends object = object> (): Auth<User>

export function useAuth (): Auth {
  const client = useAuthClient()
  const state = useSyncExternalStore(client.subscribe, () => client.state, getServerState)

  return useMemo(() => {
    const { state: _state, ready, subscribe, dispose, ...actions } = client
    return { ...state, ...actions }
  }, [client, state])
}

/**
 * Returns the client of the nearest `AuthProvider`, for example to subscribe to it in an effect.
 *
 * The component does not render again when the state changes.
 *
 * @throws Error if the component is not inside of an `AuthProvider`
 */
export function useAuthClient<User extends object = object> (): AuthClient<User>

export function useAuthClient (): AuthClient {
  const client = useContext(ClientContext)

  if (client === null) {
    throw new Error('useAuth and useAuthClient require an AuthProvider around the component')
  }

  return client
}

/** Returns the state of a render on a server, and of the first render in the browser. */
function getServerState (): AuthState {
  return inactiveClient.state
}
