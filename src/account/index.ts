export { accountFlows, accountFlows as default } from './plugin.js'
export type { AccountFlows } from './plugin.js'
export { defineAccountFlows } from './options.js'
export type {
  AccountOptions,
  CodeMessage,
  LifetimeOptions,
  LinkMessage,
  SendCallbacks,
  SendLimitOptions
} from './options.js'
export type { AccountUsers } from './users.js'
export type { AccountRouteName, CodeChallengeResponse } from '../protocol.js'
