'use client'

/**
 * Hooks and provider of the client for React.
 *
 * @module fastify-token-auth/client/react
 */

export { AuthProvider } from './auth-provider.js'
export type { AuthProviderProps } from './auth-provider.js'
export { useAuth, useAuthClient } from './use-auth.js'
export type { Auth, AuthActions } from './use-auth.js'
