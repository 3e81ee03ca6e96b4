// Runs the app of `serve.ts <path of server.ts>` in its own process, because recipes import the
// built package. The parent sets the clock and changes users.

import { pathToFileURL } from 'node:url'
import type { FastifyInstance } from 'fastify'
import { createClock } from '../../helpers/clock.js'

export type Order =
  | { readonly advance: number }
  | { readonly change: string, readonly to: object }
  | 'sweep'
  | 'close'

interface Recipe {
  buildApp(options: { clock: () => number, users: Map<string, object> }): Promise<FastifyInstance>
}

const { buildApp } = await import(pathToFileURL(String(process.argv[2])).href) as Recipe
const clock = createClock(Date.now())
const users = new Map<string, object>()
const app = await buildApp({ clock, users })

async function obey (order: Order): Promise<unknown> {
  if (order === 'sweep') {
    return app.tokenAuth.sweep()
  }

  if (order === 'close') {
    return app.close()
  }

  if ('advance' in order) {
    return clock.advance(order.advance)
  }

  return Object.assign(users.get(order.change) ?? {}, order.to)
}

process.on('message', order => {
  void obey(order as Order).then(result => {
    process.send?.({ result })

    if (order === 'close') {
      process.disconnect()
    }
  })
})
process.send?.({ result: await app.listen({ host: '127.0.0.1', port: 0 }) })
