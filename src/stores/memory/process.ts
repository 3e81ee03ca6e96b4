import cluster from 'node:cluster'
import { isProduction } from '../../lib/production.js'

/** Returns a warning if sessions in the memory of this process are not enough. */
export function warnOfLostSessions (): string[] {
  if (cluster.isWorker) {
    return [
      'sessions are in the memory of this worker: the other workers reject its refresh tokens; ' +
      'use a store with a database, or run a single process'
    ]
  }

  if (isProduction()) {
    return [
      'sessions are in the memory of this process: a restart signs every user out, and other ' +
      'instances do not know them; use a store with a database'
    ]
  }

  return []
}
