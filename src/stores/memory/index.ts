export { MemoryStore } from './store.js'
export { MemoryAttempts } from './attempts.js'
