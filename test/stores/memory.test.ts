import t from 'tap'
import { testTokenStore } from '../../src/stores/conformance.js'
import { MemoryStore } from '../../src/stores/memory.js'

testTokenStore({
  test: (name, run) => t.test(name, run),
  open: () => ({ store: new MemoryStore() })
})
