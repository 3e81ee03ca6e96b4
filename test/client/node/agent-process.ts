// Calls a server with the session of a file until it is killed: `agent-process.ts <url> <file>`.
// Prints the result of each call, and each state.
import { setTimeout as sleep } from 'node:timers/promises'
import { createAuthClient } from '../../../src/client/index.js'
import { fileStorage } from '../../../src/client/node/index.js'

const [baseUrl, path] = process.argv.slice(2) as [string, string]
const auth = createAuthClient({ baseUrl, storage: fileStorage(path) })
auth.subscribe(({ status, reason }) => {
  console.log([status, reason].join(' ').trim())
})
await auth.ready

for (;;) {
  try {
    const { status } = await auth.fetch('/protected')
    console.log(status)
  } catch (error) {
    const { code, cause } = error as { readonly code?: string, readonly cause?: unknown }
    console.log(`error ${code} ${cause}`)
  }

  await sleep(50 + Math.random() * 200)
}
