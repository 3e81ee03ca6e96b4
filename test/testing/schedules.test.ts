import t from 'tap'
import { testSeeds } from './schedules/seeds.js'

/** Set FAULT_SEEDS=2001-3000 for other seeds, or FAULT_SEEDS=77-77 to replay one. */
const [from = 2001, to = from + 7] = (process.env.FAULT_SEEDS ?? '').split('-')
  .filter(part => part !== '').map(Number)

t.test('clients follow all rules in schedules with all faults', t => testSeeds(t, [from, to]))
