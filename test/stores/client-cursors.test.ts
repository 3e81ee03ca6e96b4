import t from 'tap'
import { NOW, REALM, saveSession } from '../../src/stores/conformance/harness.js'
import { databases } from '../helpers/databases/index.js'

const HUGE = '9'.repeat(40)
const { MAX_SAFE_INTEGER } = Number

/** Cursors that look like those of one of the stores. */
const garbage = [
  '',
  '\u0000',
  '\ud800',
  '0',
  '999999999999999',
  '999999999999999.9999999999999',
  `${HUGE}.1`,
  '['.repeat(30_000),
  `[${MAX_SAFE_INTEGER},${MAX_SAFE_INTEGER},[]]`,
  `[1,1,[[${MAX_SAFE_INTEGER},9,0]]]`,
  `[0,0,[[${MAX_SAFE_INTEGER - 9},9,0]]]`,
  '[0,0,[[1,10000,0]]]',
  ...['9:1:', '1:1:1', ':', '1:2:', `1:${HUGE}:`, '1:9:8,7,6', '0:0:'].flatMap(snapshot => [
    `1-1;${snapshot};;0;0`,
    `1-1;;${snapshot};0;0`,
    `1-1;${snapshot};${snapshot};${HUGE};${HUGE}`
  ]),
  Array(16).fill('9999999999999999-9999999999999999.00000000').join(','),
  Array(16).fill('0-0.00000000').join(',')
]

for (const [name, { open, skip = false }] of Object.entries(databases)) {
  t.test(`${name} answers garbage cursors of clients with all revocations`, { skip }, async t => {
    const { store } = await open(t)
    const { id: sessionId } = await saveSession(store)
    await store.revoke({ realm: REALM, sessionId }, { at: NOW, reason: 'logout' })

    for (const cursor of garbage) {
      const { entries } = await store.revocations(cursor, 10)
      t.match(entries, [{ sessionId }], cursor.slice(0, 50))
    }
  })
}
