import type { LightMyRequestResponse } from 'fastify'
import type { Test } from 'tap'
import type { TestAppOptions } from '../../helpers/app.js'
import { basic, CLIENT_SECRET, createOAuthApp, decodeClaims } from './demo.js'
import type { Headers, OAuthApp } from './demo.js'

/** Clients: `orders` may use the route `sync`, `stock` and `phone` may not. */
export const syncClients = [
  { clientId: 'phone' },
  { clientId: 'orders', clientSecret: CLIENT_SECRET, sync: true },
  { clientId: 'stock', clientSecret: `${CLIENT_SECRET}-2` }
]

/** Report of one accepted token. */
export interface Note {
  readonly sid: string
  readonly gen: number
  readonly seen: string
}

export interface SyncResponse {
  readonly now: number
  readonly cursor: string
  readonly complete: boolean
  readonly retention: number
  readonly revocations: ReadonlyArray<Record<string, unknown>>
  readonly ignored: number
}

export const asOrders = basic('orders', CLIENT_SECRET)

export async function createSyncApp (t: Test, given: TestAppOptions = {}): Promise<OAuthApp> {
  return createOAuthApp(t, {
    ...given,
    options: { oauth: { clients: syncClients }, ...given.options }
  })
}

/** Sends a body to the route `sync`. */
export async function send (
  { app }: OAuthApp,
  payload: unknown,
  headers: Headers = asOrders
): Promise<LightMyRequestResponse> {
  return app.inject({
    method: 'POST',
    url: '/auth/sync',
    headers: { 'content-type': 'application/json', ...headers },
    payload: typeof payload === 'string' ? payload : JSON.stringify(payload)
  })
}

/** Sends notes, and returns the body of a successful response. */
export async function sync (
  app: OAuthApp,
  cursor: string | null = null,
  notes: readonly Note[] = []
): Promise<SyncResponse> {
  const response = await send(app, { cursor, notes })

  if (response.statusCode !== 200) {
    throw new Error(`${response.statusCode} ${response.body}`)
  }

  return response.json<SyncResponse>()
}

export function toNote (accessToken: string): Note {
  const { sid, gen, seen } = decodeClaims(accessToken)
  return { sid, gen, seen } as unknown as Note
}
