import t from 'tap'
import { getSeeds, playWithFaults, playWithWrongClocks } from './honest-games.js'

t.test('no honest browser is signed out by tabs, lost answers and restarts', t =>
  playWithFaults(t, getSeeds(1, 4)))

t.test('no honest browser is signed out by wrong clocks of instances', t =>
  playWithWrongClocks(t, getSeeds(1, 4)))
