import t from 'tap'
import { formatPosition, parsePosition } from '../../../src/stores/mysql/feed-cursor.js'

const { MAX_SAFE_INTEGER } = Number

t.test('a cursor keeps the last entry and the gaps', async t => {
  const position = { last: { id: 9, at: 5 }, gaps: new Map([[3, 1], [4, 1], [7, 2]]) }
  t.equal(formatPosition(position), '[9,5,[[3,2,1],[7,1,2]]]')
  t.strictSame(parsePosition('[9,5,[[3,2,1],[7,1,2]]]', 3), position)
})

t.test('a malformed cursor of a client is not valid, and does not block the process', async t => {
  const cursors = [
    '',
    '{}',
    '[1,2]',
    '[1,-2,[]]',
    '[1,2,[[3,1]]]',
    '[1,2,[[3,1.5,1]]]',
    '[1,2,[[3,4,1]]]',
    `[1,2,[[${MAX_SAFE_INTEGER},2,1]]]`,
    `[1,2,[[3,${MAX_SAFE_INTEGER},1]]]`,
    '['.repeat(30_000)
  ]

  for (const cursor of cursors) {
    t.equal(parsePosition(cursor, 3), null, cursor.slice(0, 40))
  }
})
