import type { Logger } from '../events.js'
import type { Millis } from '../lib/time.js'
import type { AttemptStore } from './attempt-store.js'
import { createGuard } from './guard.js'
import { guardAttemptStore } from './guarded-store.js'
import { MemoryAttempts } from './memory/attempts.js'

/** Wraps an attempt store of the app, or a new one in memory, with a guard. */
export function wrapAttemptStore (
  attempts: AttemptStore | null | undefined,
  timeout: Millis,
  logger: Logger
): AttemptStore {
  return guardAttemptStore(attempts ?? new MemoryAttempts(), createGuard(timeout, logger, 'store'))
}

/** Whether each process counts separately: the attempt store is in memory, as by default. */
export function isInMemory (attempts: AttemptStore | null | undefined): boolean {
  return attempts == null || attempts instanceof MemoryAttempts
}
