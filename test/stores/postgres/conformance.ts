import type { Test } from 'tap'
import { testAttemptStore } from '../../../src/stores/conformance/attempt-store.js'
import { testTokenStore } from '../../../src/stores/conformance/token-store.js'
import { PostgresAttempts, PostgresStore } from '../../../src/stores/postgres/index.js'
import { createPostgresDatabase } from '../../helpers/databases/postgres.js'

/** Runs both conformance suites over two pools. */
export async function testConformance (t: Test, url: string): Promise<void> {
  const database = await createPostgresDatabase(url)
  t.teardown(() => database.remove())
  const [one, two] = [database.connect(), database.connect()]
  testTokenStore({
    test: (name, run) => t.test(name, run),
    open: async () => {
      await database.empty()
      return { store: new PostgresStore(one), other: new PostgresStore(two) }
    }
  })
  testAttemptStore({
    test: (name, run) => t.test(name, run),
    open: async () => {
      await database.empty()
      return { store: new PostgresAttempts(one), other: new PostgresAttempts(two) }
    }
  })
}
