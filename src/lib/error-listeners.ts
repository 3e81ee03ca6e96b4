/**
 * Whether a database client or pool emits errors and nobody listens to them.
 *
 * Node ends the process if an `error` event has no listener. `false` for objects that are no event
 * emitters, such as a wrapper of the app.
 */
export function hasNoErrorListener (emitter: object): boolean {
  const { listenerCount } = emitter as { listenerCount?: (event: string) => number }
  return typeof listenerCount === 'function' && listenerCount.call(emitter, 'error') === 0
}
