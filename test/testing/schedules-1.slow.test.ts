// Two files, so that tap runs them at the same time.

import t from 'tap'
import { testSeeds } from './schedules/seeds.js'

t.test('clients follow all rules in the first 500 of 1,000 schedules', t => testSeeds(t, [1, 500]))

t.test('clients follow all rules in 17 other schedules', t => testSeeds(t, [2009, 2025]))
