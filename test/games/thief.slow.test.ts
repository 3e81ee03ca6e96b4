import t from 'tap'
import { testThieves } from './thief-games.js'

testThieves(t, 'at the issuer', 40)
