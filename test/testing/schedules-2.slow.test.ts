import t from 'tap'
import { testSeeds } from './schedules/seeds.js'

t.test('clients follow all rules in the last 500 of 1,000 schedules', t =>
  testSeeds(t, [501, 1000]))

t.test('clients follow all rules in 20 schedules over a real port', t =>
  testSeeds(t, [1, 20], true))
