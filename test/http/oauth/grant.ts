import { claimsOf } from './demo.js'
import type { OAuthApp } from './demo.js'

export const GRANT = { grant_type: 'refresh_token' }

export async function generationOf (
  app: OAuthApp,
  refreshToken: string
): Promise<number | undefined> {
  const session = await app.store.find(claimsOf(refreshToken).sid as string)
  return session?.revokedAt === null ? session.generation : undefined
}
