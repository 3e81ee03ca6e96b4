import t from 'tap'
import { testTokenStore } from '../../../src/stores/conformance/token-store.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'

testTokenStore({
  test: (name, run) => t.test(name, run),
  open: () => ({ store: new MemoryStore() })
})
