/**
 * Process that verifies the same hashes with argon2 alone, with the concurrency of the server.
 *
 * @module
 */

import { verify } from '@node-rs/argon2'
import { handleCalls } from '../processes.js'
import { getRatePerSecond } from './shared.js'
import type { HashLoad } from './shared.js'

handleCalls({
  /** @returns Verifications per second. */
  async verify ({ accounts, concurrency, ms }: HashLoad) {
    const times: number[] = []
    const endTime = performance.now() + ms
    let count = 0

    const verifyContinuously = async (): Promise<void> => {
      while (performance.now() < endTime) {
        const account = accounts[count++ % accounts.length]

        if (account === undefined || !await verify(account.hash, account.password)) {
          throw new Error('argon2 rejected a correct password')
        }

        times.push(performance.now())
      }
    }

    await Promise.all(Array.from({ length: concurrency }, verifyContinuously))
    return getRatePerSecond(times)
  }
})
