import t from 'tap'
import { databases } from '../../helpers/databases/index.js'
import type { OAuthApp } from './demo.js'
import { createSyncApp, send, sync } from './sync-setup.js'
import type { SyncResponse } from './sync-setup.js'

const USERS = 300
const PAGE_SIZE = 256
const MAX_SAFE = Number.MAX_SAFE_INTEGER
const LONG = '9'.repeat(30)
/** 10,000 gaps of MariaDB, the most that a cursor may have. */
const GAPS = '[1,10000,0]'

const garbage = [
  '',
  'x',
  '0',
  '-1',
  '999999999999999',
  LONG,
  '\0',
  '\u{1f600}'.repeat(8000),
  '['.repeat(32_768),
  ','.repeat(32_768),
  ';;;;',
  '0-0;;;0;0',
  // MariaDB
  'null',
  '{}',
  '[1,1]',
  '[0,0,[]]',
  `[${MAX_SAFE},0,[]]`,
  `[${LONG},0,[]]`,
  `[1,1,[${GAPS}]]`,
  `[0,0,[${GAPS}]]`,
  `[0,0,[${GAPS},${GAPS}]]`,
  `[0,0,[[1,${MAX_SAFE},0]]]`,
  // Counting up from the last safe integer would not end.
  `[0,0,[[${MAX_SAFE},5,0]]]`,
  `[0,0,[[${MAX_SAFE - 1},1,${MAX_SAFE}]]]`,
  `[0,0,[${Array.from({ length: 1500 }, (_, i) => `[${7 * i},3,0]`).join(',')}]]`,
  // SQLite
  '0.0',
  '1.1',
  '999999999999999.9999999999999',
  `${LONG}.1`
]

const malformed = ['\ud800', 'x'.repeat(32_769)]

/** Returns cursors that look like one of this database, and are lies. */
const forgers: Readonly<Record<string, (cursor: string) => string[]>> = {
  postgres (cursor) {
    const [server = ''] = cursor.split(';')
    const open = Array.from({ length: 3000 }, (_, i) => i + 1).join(',')

    return [
      `${server};5:3:;;0;0`,
      `${server};0:0:;;0;0`,
      `${server};1:1:;;0;0`,
      `${server};1:1:;;${LONG};0`,
      `${server};1:1:;;0;${LONG}`,
      `${server};1:9223372036854775807:;;0;0`,
      `${server};1:${LONG}:;;0;0`,
      `${server};1:9000:${open};;0;0`,
      `${server};1:9000:9,8,7;;0;0`,
      `${server};;1:1:;0;0`,
      `${server};1:1:;1:1:;0;0`,
      `${server};:;:;0;0`
    ]
  },
  redis (cursor) {
    const positions = cursor.split(',')
    const forge = (position: string): string => positions.map(() => position).join(',')

    return [
      forge(''),
      forge('0-0.00000000'),
      forge('9999999999999999-9999999999999999.00000000'),
      positions.slice(1).join(','),
      [...positions].reverse().join(',')
    ]
  }
}

/** Reads all pages from a cursor. Each must be small, and there must be an end. */
async function readAll (app: OAuthApp, cursor: string): Promise<Set<unknown>> {
  const users = new Set<unknown>()
  let page: Pick<SyncResponse, 'cursor' | 'complete'> = { cursor, complete: false }

  for (let count = 0; !page.complete; count++) {
    const response = await sync(app, page.cursor)

    if (count > 10 || response.revocations.length > PAGE_SIZE) {
      throw new Error(`${count} pages, ${response.revocations.length} revocations`)
    }

    for (const { sub } of response.revocations) {
      users.add(sub)
    }

    page = response
  }

  return users
}

const apps = new Map<string, { readonly app: OAuthApp, readonly cursors: readonly string[] }>()

t.before(async () => {
  for (const [name, { skip, open }] of Object.entries(databases)) {
    if (skip === undefined || skip === false) {
      const app = await createSyncApp(t, { store: (await open(t)).store })
      const { cursor: start } = await sync(app)

      for (let i = 0; i < USERS; i++) {
        await app.app.tokenAuth.revokeUser(`u-${i}`)
      }

      const { cursor: middle, complete } = await sync(app, start)
      t.equal(complete, false, `${name} has more than a page`)
      const { cursor: end } = await sync(app, middle)
      apps.set(name, { app, cursors: [start, middle, end] })
    }
  }
})

for (const [name, { skip = false }] of Object.entries(databases)) {
  t.test(`a forged or foreign cursor restarts the read on ${name}`, { skip }, async t => {
    const { app, cursors: own } = apps.get(name) as { app: OAuthApp, cursors: readonly string[] }
    const foreign = [...apps.values()].flatMap(({ cursors }) => cursors)
      .filter(cursor => !own.includes(cursor))
    const forged = forgers[name]?.(own[2] as string) ?? []

    for (const cursor of [...garbage, ...foreign, ...forged]) {
      const users = await readAll(app, cursor)
      t.equal(users.size, USERS, `${JSON.stringify(cursor.slice(0, 80))}: all revocations`)
    }

    for (const cursor of malformed) {
      t.equal((await send(app, { cursor, notes: [] })).statusCode, 400)
    }
  })
}
