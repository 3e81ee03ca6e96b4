// Increments the number in a file, each time with the lock, until the process is killed.
// Prints each number after it is saved.
import { setTimeout as sleep } from 'node:timers/promises'
import { fileStorage } from '../../../src/client/node/index.js'

const storage = fileStorage(process.argv[2] as string)

for (;;) {
  try {
    await storage.lock(async () => {
      const next = Number(await storage.get()) + 1
      await sleep(Math.random() * 5)
      await storage.set(String(next))
      console.log(next)
    }, AbortSignal.timeout(15_000))
  } catch (error) {
    console.log((error as { readonly code?: string }).code ?? String(error))
  }
}
