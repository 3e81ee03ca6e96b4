// Runs the conformance suite: npx tsx --test examples/custom-store/conformance.ts

import { test } from 'node:test'
import { Kysely, SqliteDialect } from 'kysely'
import Database from 'libsql'
import { testTokenStore } from 'fastify-token-auth/conformance'
import { KyselyStore } from './kysely-store.js'
import type { Tables } from './tables.js'

testTokenStore({
  test,
  async open () {
    const db = new Kysely<Tables>({
      dialect: new SqliteDialect({ database: new Database(':memory:') })
    })
    const store = new KyselyStore(db)
    await store.migrate()
    return { store, close: () => db.destroy() }
  }
})
