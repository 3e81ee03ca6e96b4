import type { Test } from 'tap'
import { basic, CLIENT_SECRET } from './demo.js'
import type { OAuthApp } from './demo.js'

export const asOrders = { client_id: 'orders', client_secret: CLIENT_SECRET }

export const ORDERS = basic('orders', CLIENT_SECRET)

export const OTHER_SECRET = 'u8Ei3Oa6Pw1Ld4Fj9Gh2Sk7Vn5Mb0Xzq'

export async function inspect (
  t: Test,
  { send }: OAuthApp,
  token: string
): Promise<{ body: string, answer: Record<string, unknown> }> {
  const response = await send('/auth/introspect', { token }, ORDERS)
  t.equal(response.statusCode, 200)
  t.equal(response.headers['content-type'], 'application/json; charset=utf-8')
  t.match(response.headers, { 'cache-control': 'no-store', pragma: 'no-cache' })
  return { body: response.body, answer: response.json() }
}
