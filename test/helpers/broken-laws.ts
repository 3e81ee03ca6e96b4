import { testTokenStore } from '../../src/stores/conformance/token-store.js'
import type { ConformanceOptions } from '../../src/stores/conformance/token-store.js'

export interface BrokenLaw {
  readonly law: string
  readonly error: unknown
}

/** Runs the conformance tests of a store, and returns those that fail. */
export async function brokenLaws (
  open: ConformanceOptions['open'],
  named = /./
): Promise<BrokenLaw[]> {
  const laws: Array<readonly [law: string, run: () => Promise<void>]> = []
  testTokenStore({ test: (law, run) => laws.push([law, run]), open })
  const broken: BrokenLaw[] = []

  for (const [law, run] of laws.filter(([law]) => named.test(law))) {
    await run().catch((error: unknown) => {
      broken.push({ law, error })
    })
  }

  return broken
}
