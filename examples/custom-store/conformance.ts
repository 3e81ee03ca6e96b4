// Runs the conformance suite: npx tsx --test examples/custom-store/conformance.ts

import { test } from 'node:test'
import { Kysely, SqliteDialect } from 'kysely'
import Database from 'libsql'
import { testTokenStore } from 'fastify-token-auth/conformance'
import { KyselyStore } from './kysely-store.js'
import type { Tables } from './tables.js'

function connect (): Kysely<Tables> {
  return new Kysely<Tables>({ dialect: new SqliteDialect({ database: new Database(':memory:') }) })
}

testTokenStore({
  test,
  async open () {
    const db = connect()
    const store = new KyselyStore(db)
    await store.migrate()
    return { store, close: () => db.destroy() }
  },
  openIncomplete () {
    const db = connect()
    return { store: new KyselyStore(db), close: () => db.destroy() }
  }
})
