// What runs the laws of a store, for both suites: any test runner, and one or two ways to the same data.

export interface LawsOptions<Store> {
  /** Takes a test: `test` of node:test, vitest or jest, `t.test` of tap. */
  readonly test: (name: string, run: () => Promise<void>) => unknown
  /** Gives a store that holds nothing. Called once a test. */
  readonly open: () => Promise<Opened<Store>> | Opened<Store>
}

export interface Opened<Store> {
  readonly store: Store
  /**
   * A second way to the same data, such as another connection: races are run over both. Without it nothing races in a store that
   * gathers calls.
   */
  readonly other?: Store
  readonly close?: () => Promise<void> | void
}

/** Registers a law as a test, with a store of its own. */
export type Law<Store> = (name: string, run: (store: Store, other: Store) => Promise<void>) => void

export function createLaw<Store> ({ test, open }: LawsOptions<Store>): Law<Store> {
  return (name, run) => {
    test(name, async () => {
      const { store, other = store, close } = await open()
      try {
        await run(store, other)
      } finally {
        await close?.()
      }
    })
  }
}
