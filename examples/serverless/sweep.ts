import { getApp } from './handler.js'

/** Handler for a schedule: deletes records that ended more than 25 hours ago. Once an hour. */
export async function sweep (): Promise<{ readonly deleted: number }> {
  const app = await getApp()
  return { deleted: await app.tokenAuth.sweep() }
}
