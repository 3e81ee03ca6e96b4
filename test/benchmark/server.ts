// The process that is measured: one server, alone in its process. Its parent tells it what to start (see processes.ts), and asks
// how much CPU time it has used.

import type { Setup, Start } from './contestants/contestant.js'
import { answerCalls } from './processes.js'

/** Which function of which module starts it. The module is named from this folder. */
export interface Place {
  readonly module: string
  readonly name: string
}

answerCalls({
  async start ({ place: { module, name }, setup }: { place: Place, setup: Setup }) {
    const exported = await import(new URL(module, import.meta.url).href) as Record<string, Start>
    const start = exported[name]

    if (start === undefined) {
      throw new Error(`${module} has no ${name}`)
    }

    return await start(setup)
  },
  // Microseconds of all its threads, those of the garbage collector and of the thread pool too.
  async cpu () {
    const { user, system } = process.cpuUsage()
    return user + system
  }
})
