import { Fragment, useState } from 'react'
import type { FormEvent, ReactNode } from 'react'
import { QueryClient, QueryClientProvider, useQuery } from '@tanstack/react-query'
import type { UseQueryResult } from '@tanstack/react-query'
import { AuthError } from 'fastify-token-auth/client'
import type { AuthClient } from 'fastify-token-auth/client'
import { AuthProvider, useAuth } from 'fastify-token-auth/client/react'

/** The user, as `users.present` of the server returns it. */
export interface User {
  readonly id: string
  readonly username: string
}

/**
 * Creates a cache that is cleared when the user signs out or another user signs in, in any tab.
 *
 * Create it next to the client, outside of components. Its listener then runs before components
 * render the new state. A mounted component shows its last result until it renders again, so keep
 * components with data of the user inside of {@link RequireAuth}.
 */
export function createQueryClient (auth: AuthClient<User>): QueryClient {
  const queryClient = new QueryClient()
  let userId = auth.state.user?.id
  auth.subscribe(({ user }) => {
    if (user?.id !== userId) {
      userId = user?.id
      queryClient.clear()
    }
  })
  return queryClient
}

/** Properties of {@link RequireAuth}. */
export interface RequireAuthProps {
  /** Shown to a user who is not signed in. */
  readonly fallback: ReactNode
  readonly children: ReactNode
}

/** Shows its children to signed-in users only. */
export function RequireAuth ({ fallback, children }: RequireAuthProps): ReactNode {
  const { status, user } = useAuth<User>()

  if (status === 'starting') {
    return null
  }

  if (status === 'signed-out') {
    return fallback
  }

  // Components keep form fields and results in their state. A new key discards the state of the
  // previous user, which `queryClient.clear()` does not reach.
  return <Fragment key={user?.id}>{children}</Fragment>
}

/** Requests JSON of the server, with the access token, and caches it. */
export function useResource<Data> (path: string): UseQueryResult<Data> {
  const { fetch } = useAuth()

  return useQuery<Data>({
    queryKey: [path],
    async queryFn ({ signal }) {
      const response = await fetch(path, { signal })

      if (!response.ok) {
        throw new Error(`${path} responded with ${response.status}`)
      }

      // The client does not check what the server returns.
      return await response.json() as Data
    }
  })
}

/** Form that signs the user in, and shows the code of an error. */
export function LoginForm (): ReactNode {
  const { login } = useAuth<User>()
  const [error, setError] = useState('')

  async function submit (event: FormEvent<HTMLFormElement>): Promise<void> {
    event.preventDefault()
    const data = new FormData(event.currentTarget)

    try {
      await login({
        username: String(data.get('username')),
        password: String(data.get('password'))
      })
    } catch (failure) {
      setError(failure instanceof AuthError ? failure.code : String(failure))
    }
  }

  return (
    <form onSubmit={event => void submit(event)}>
      <input name="username" autoComplete="username" required />
      <input name="password" type="password" autoComplete="current-password" required />
      <button>Sign in</button>
      <p role="alert">{error}</p>
    </form>
  )
}

function Profile (): ReactNode {
  const { user, logout } = useAuth<User>()
  const { data, error } = useResource<{ userId: string }>('/protected')

  return (
    <>
      <p role="status">Signed in as {user?.username}</p>
      <output>{error?.message ?? data?.userId}</output>
      <button onClick={() => void logout()}>Sign out</button>
    </>
  )
}

/** Properties of {@link App}. */
export interface AppProps {
  /** `null` on a server. */
  readonly auth: AuthClient<User> | null
  readonly queryClient: QueryClient
}

/**
 * An app with a login form and data of the user.
 *
 * @example
 * ```tsx
 * const auth = createAuthClient<User>({ baseUrl: 'https://api.example.org' })
 * const queryClient = createQueryClient(auth)
 *
 * createRoot(element).render(<App auth={auth} queryClient={queryClient} />)
 * ```
 */
export function App ({ auth, queryClient }: AppProps): ReactNode {
  return (
    <AuthProvider client={auth}>
      <QueryClientProvider client={queryClient}>
        <RequireAuth fallback={<LoginForm />}>
          <Profile />
        </RequireAuth>
      </QueryClientProvider>
    </AuthProvider>
  )
}
