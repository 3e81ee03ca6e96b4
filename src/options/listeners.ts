import type { EventName, TokenAuthListeners } from '../events.js'
import { assert, rejectUnknownKeys } from './validate.js'

/** Events that the option `on` accepts. */
export const listenerShape = {
  login: true,
  'login-rejected': true,
  'login-throttled': true,
  'refresh-rejected': true,
  refresh: true,
  replay: true,
  recovery: true,
  reuse: true,
  'suspicious-replay': true,
  'session-ended': true,
  'link-sent': true,
  'email-verified': true,
  'password-reset': true,
  'second-factor-failed': true,
  'sync-ignored': true,
  sweep: true,
  'store-rolled-back': true,
  'session-missing': true,
  'revocations-stalled': true,
  'clock-skew': true
} satisfies Record<EventName, true>

/** Checks the option `on`. */
export function resolveListeners (value: unknown = {}, path: string): TokenAuthListeners {
  rejectUnknownKeys(value, listenerShape, path)

  for (const [event, listener] of Object.entries(value)) {
    assert(typeof listener === 'function', `"${path}.${event}" must be a function`)
  }

  return value
}
