// What a storm of logins is compared with: the same hashes checked by argon2 alone, as many at once as the server does.

import { verify } from '@node-rs/argon2'
import { rateOf, serve } from './logins-process.js'
import type { HashOrder } from './logins-routes.js'

serve<HashOrder>({}, async ({ accounts, atOnce, ms }) => {
  const times: number[] = []
  const end = performance.now() + ms
  let next = 0

  const checkOn = async (): Promise<void> => {
    while (performance.now() < end) {
      const account = accounts[next++ % accounts.length]

      if (account === undefined || !await verify(account.hash, account.password)) {
        throw new Error('A right password was wrong')
      }

      times.push(performance.now())
    }
  }

  await Promise.all(Array.from({ length: atOnce }, checkOn))
  return { rate: rateOf(times) }
})
