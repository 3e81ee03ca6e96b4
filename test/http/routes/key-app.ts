import { createSecretKey, generateKeyPairSync, KeyObject, randomBytes } from 'node:crypto'
import type { Test } from 'tap'
import type { TokenAuthOptions } from '../../../src/index.js'
import { createTestApp } from '../../helpers/app.js'
import type { TestApp, TestAppOptions } from '../../helpers/app.js'

export type Keys = NonNullable<TokenAuthOptions['keys']>

export const JWKS = '/.well-known/jwks.json'

export const scope = { issuer: 'https://a.example', audience: 'api' }

export const ed = (): KeyObject => generateKeyPairSync('ed25519').privateKey

export const secret = (): KeyObject => createSecretKey(randomBytes(64))

export const own = {
  EdDSA: ed(),
  ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey,
  RS256: generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
}

export async function open (
  t: Test,
  keys: Keys | undefined,
  options: Partial<TokenAuthOptions> = {},
  given: TestAppOptions = {}
): Promise<TestApp> {
  const test = await createTestApp({
    ...given,
    options: { ...scope, ...(keys !== undefined && { keys }), ...options }
  })
  t.teardown(() => test.app.close())
  return test
}

export function decodePart (token: string, part: 0 | 1): Record<string, unknown> {
  return JSON.parse(Buffer.from(token.split('.')[part] ?? '', 'base64url').toString())
}

export const getStatus = async (test: TestApp, token: string): Promise<number> =>
  (await test.get('/protected', token)).statusCode
