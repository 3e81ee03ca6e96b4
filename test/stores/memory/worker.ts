// A worker of node:cluster that sends the warnings of its store.
import { MemoryStore } from '../../../src/stores/memory/index.js'

process.send?.(await new MemoryStore().check())
process.disconnect()
