import type { FaultKind } from './fault-kind.js'

/** Event of a test. Contains no token: only the method and the URL of a request. */
export interface LogEntry {
  /** Milliseconds since the start. */
  readonly at: number
  /** Number of steps so far. */
  readonly step: number
  /** Kind of the event. */
  readonly event:
    | 'action'
    | 'request'
    | 'handled'
    | 'response'
    | 'failure'
    | 'killed'
    | 'asleep'
    | 'awake'
    | 'offline'
    | 'online'
    | 'healed'
  /** Name of an action, a tab or a device; `network` for changes of the network. */
  readonly source: string
  /** Number, method and URL of a request. Its response has the same value. */
  readonly request?: string
  /** Fault that was injected. */
  readonly fault?: FaultKind | 'custom'
  /** Status of a response. */
  readonly status?: number
}

/** Formats an event as one line. */
export function formatEntry (
  { at, step, event, source, request, fault, status }: LogEntry
): string {
  return [
    `${step}`,
    `${(at / 1000).toFixed(3)} s`,
    source,
    event,
    request,
    status,
    fault && `(${fault})`
  ]
    .filter(part => part !== undefined).join('  ')
}
