// The conformance suites on a newer PostgreSQL than that of most servers.

import t from 'tap'
import { startPostgres } from '../../helpers/databases/postgres.js'
import { testConformance } from './conformance.js'

t.test('embedded PostgreSQL passes the conformance suites over two pools', async t => {
  const server = await startPostgres()
  t.teardown(() => server.stop())
  await testConformance(t, server.url)
})
