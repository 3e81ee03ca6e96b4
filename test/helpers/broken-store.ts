import type { TokenStore } from '../../src/stores/token-store.js'

export type Fault = 'throws' | 'hangs' | null

/** Words of a driver, with a value in them, as real drivers have them. */
export const DRIVER_WORDS =
  'ECONNREFUSED at 10.0.0.5: UPDATE sessions SET x = \'value-in-a-statement\''

export interface BreakableStore {
  readonly store: TokenStore
  /** Breaks the verbs that are named, or all of them; `null` mends them. */
  break(fault: Fault, verbs?: ReadonlyArray<keyof TokenStore>): void
}

/** A store that works until it is told to fail. */
export function createBreakableStore (store: TokenStore): BreakableStore {
  let isBroken: (verb: PropertyKey) => boolean = () => false
  let fault: Fault = null

  return {
    store: new Proxy(store, {
      get: (target, verb) => (...args: unknown[]): unknown => {
        if (fault === null || !isBroken(verb)) {
          return Reflect.apply(Reflect.get(target, verb), target, args)
        }

        return fault === 'hangs' ? new Promise(() => {}) : Promise.reject(new Error(DRIVER_WORDS))
      }
    }),
    break (newFault, verbs) {
      fault = newFault
      isBroken = verb => verbs === undefined || (verbs as readonly PropertyKey[]).includes(verb)
    }
  }
}
