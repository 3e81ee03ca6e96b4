import { MemoryStore } from '../../src/stores/memory/index.js'
import type { TokenStore } from '../../src/stores/token-store.js'
import { openSqliteStore } from './databases/sqlite.js'

export interface OpenedStore {
  readonly store: TokenStore
  readonly close: () => void
}

/** Opens the stores that need no server. */
export const localStores: Readonly<Record<string, () => Promise<OpenedStore>>> = {
  memory: async () => ({ store: new MemoryStore(), close: () => {} }),
  sqlite: async () => {
    const { store, file } = await openSqliteStore()

    return {
      store,
      close: () => {
        file.remove()
      }
    }
  }
}
