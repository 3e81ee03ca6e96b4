import { REALM } from '../../helpers/app.js'
import { decodeClaims } from './demo.js'
import type { OAuthApp } from './demo.js'

export const GRANT = { grant_type: 'refresh_token' }

export async function getGeneration (
  app: OAuthApp,
  refreshToken: string
): Promise<number | undefined> {
  const session = await app.store.find(REALM, decodeClaims(refreshToken).sid as string)
  return session?.revokedAt === null ? session.generation : undefined
}
