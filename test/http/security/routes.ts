import type { LightMyRequestResponse } from 'fastify'

export type Method = 'GET' | 'HEAD' | 'POST' | 'DELETE'

export type Route = readonly [method: Method, url: string]

export const JSON_TYPE = 'application/json'

export const FORM_TYPE = 'application/x-www-form-urlencoded'

export const guarded: readonly Route[] = [
  ['GET', '/protected'],
  ['GET', '/auth/me'],
  ['GET', '/auth/sessions'],
  ['DELETE', '/auth/sessions'],
  ['DELETE', '/auth/sessions/x'],
  ['POST', '/auth/logout/all'],
  ['POST', '/auth/elevate']
]

export const takers = ['/auth/login', '/auth/refresh', '/auth/logout'] as const

export const routes: readonly Route[] = [...guarded, ...takers.map((url): Route => ['POST', url])]

/** Returns everything that a client can compare. */
export function getComparable ({ statusCode, headers, body }: LightMyRequestResponse): object {
  const { date, ...rest } = headers
  return { statusCode, headers: rest, body }
}

export const getCode = (response: LightMyRequestResponse): unknown =>
  response.body === '' ? undefined : response.json().code
