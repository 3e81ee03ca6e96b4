import { testTokenStore } from '../../src/stores/conformance/token-store.js'
import type { ConformanceOptions } from '../../src/stores/conformance/token-store.js'

export interface ConformanceFailure {
  readonly title: string
  readonly error: unknown
}

/**
 * Runs the conformance tests with matching titles one after the other, each with a new store.
 *
 * @returns The tests that failed.
 */
export async function findConformanceFailures (
  open: ConformanceOptions['open'],
  titlePattern = /./,
  openIncomplete?: ConformanceOptions['open']
): Promise<ConformanceFailure[]> {
  const tests: Array<readonly [title: string, run: () => Promise<void>]> = []
  testTokenStore({
    test: (title, run) => tests.push([title, run]),
    open,
    ...openIncomplete && { openIncomplete }
  })
  const failures: ConformanceFailure[] = []

  for (const [title, run] of tests.filter(([title]) => titlePattern.test(title))) {
    await run().catch((error: unknown) => {
      failures.push({ title, error })
    })
  }

  return failures
}
