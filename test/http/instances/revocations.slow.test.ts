import t from 'tap'
import { databases, skipPostgres } from './instances-setup.js'
import { testRevocations } from './revocations.js'

for (const [name, open] of Object.entries(databases)) {
  t.test(`${name}: 3 instances`, { skip: name === 'postgres' && skipPostgres }, async t => {
    testRevocations(t, open, 3)
  })
}
