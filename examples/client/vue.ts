import { computed, inject, shallowRef } from 'vue'
import type { ComputedRef, InjectionKey, Plugin, ShallowRef } from 'vue'
import type { AuthClient, AuthState } from 'fastify-token-auth/client'

/** A client, and its state as a ref. */
interface Provided<User extends object = object> {
  readonly client: AuthClient<User>
  readonly state: Readonly<ShallowRef<AuthState<User>>>
}

const key: InjectionKey<Provided> = Symbol('fastify-token-auth')

/**
 * Creates a Vue plugin that provides a client to all components.
 *
 * The app owns the client. Unmounting the app ends the subscription and keeps the client.
 *
 * @example
 * ```ts
 * const auth = createAuthClient<User>({ baseUrl: 'https://api.example.org' })
 *
 * createApp(App).use(createAuthPlugin(auth)).mount('#app')
 * ```
 */
export function createAuthPlugin (client: AuthClient): Plugin {
  return {
    install (app) {
      const state = shallowRef(client.state)
      app.onUnmount(client.subscribe(next => {
        state.value = next
      }))
      app.provide(key, { client, state })
    }
  }
}

/** State of the session as refs, and the functions of the client. */
export interface Auth<User extends object = object>
  extends Omit<AuthClient<User>, 'state' | 'ready' | 'subscribe' | 'dispose'> {
  readonly status: ComputedRef<AuthState['status']>
  readonly user: ComputedRef<User | null>
  readonly reason: ComputedRef<AuthState['reason']>
}

/**
 * Returns the state of the session and the functions of the client, in `setup` of a component.
 *
 * @throws Error if the app does not use the plugin.
 * @example
 * ```ts
 * const { status, user, login, logout } = useAuth<User>()
 * ```
 */
export function useAuth<User extends object = object> (): Auth<User>

export function useAuth (): Auth {
  const provided = inject(key, null)

  if (provided === null) {
    throw new Error('useAuth requires the plugin of createAuthPlugin')
  }

  const { client, state } = provided
  const { state: _state, ready, subscribe, dispose, ...actions } = client

  return {
    ...actions,
    status: computed(() => state.value.status),
    user: computed(() => state.value.user),
    reason: computed(() => state.value.reason)
  }
}
