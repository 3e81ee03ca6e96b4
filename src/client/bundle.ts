export { createDpopFetch } from './dpop.js'
export * from './index.js'
export type { DpopFetchOptions, KeyPair, KeyPairStore } from './dpop.js'
