// `tsc -p .` compiles this file. It checks the types of the limits of messages.

import type { MessageLimitOptions, SendLimitOptions } from '../../src/account/index.js'

declare function takes<T> (value: T): void

const limit: MessageLimitOptions = { maxAttempts: 3, window: '15m' }
takes<SendLimitOptions>({ account: limit, address: false })
// @ts-expect-error: the limits of messages have no free attempts
takes<MessageLimitOptions>({ freeAttempts: 3 })
