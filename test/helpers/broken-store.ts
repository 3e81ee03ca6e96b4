import type { TokenStore } from '../../src/stores/token-store.js'

export type Fault = 'throws' | 'hangs' | null

/** Error message that contains a value, as the messages of real drivers do. */
export const DRIVER_MESSAGE =
  'ECONNREFUSED at 10.0.0.5: UPDATE sessions SET x = \'value-in-a-statement\''

export interface BreakableStore {
  readonly store: TokenStore
  /** Breaks some methods of the store, or all. `null` repairs them. */
  break(fault: Fault, verbs?: ReadonlyArray<keyof TokenStore>): void
}

/** Creates a store that works until `break` is called. */
export function createBreakableStore (store: TokenStore): BreakableStore {
  let isBroken: (verb: PropertyKey) => boolean = () => false
  let fault: Fault = null

  return {
    store: new Proxy(store, {
      get: (target, verb) => (...args: unknown[]): unknown => {
        if (fault === null || !isBroken(verb)) {
          return Reflect.apply(Reflect.get(target, verb), target, args)
        }

        return fault === 'hangs' ? new Promise(() => {}) : Promise.reject(new Error(DRIVER_MESSAGE))
      }
    }),
    break (newFault, verbs) {
      fault = newFault
      isBroken = verb => verbs === undefined || (verbs as readonly PropertyKey[]).includes(verb)
    }
  }
}
