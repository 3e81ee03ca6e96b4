// Runs the handlers for the events of frozen-process.ts, as a serverless platform does.

import { handler } from './handler.js'
import type { FunctionEvent } from './handler.js'
import { sweep } from './sweep.js'

process.on('message', async ({ event }: { readonly event?: FunctionEvent }) => {
  try {
    const result = event === undefined ? await sweep() : await handler(event)
    process.send?.({ result })
  } catch (error) {
    process.send?.({ error: String(error) })
  }
})

process.once('disconnect', () => {
  process.exit()
})
