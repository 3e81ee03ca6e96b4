/**
 * Process with one server, whose CPU time is measured.
 *
 * @module
 */

import { handleCalls } from '../processes.js'
import type { ServerSettings, StartServer } from './servers/shared.js'

/** Function that starts a server. The module is relative to this folder. */
export interface ServerModule {
  readonly path: string
  readonly functionName: string
}

handleCalls({
  async start (
    { module: { path, functionName }, settings }: {
      module: ServerModule
      settings: ServerSettings
    }
  ) {
    const url = new URL(path, import.meta.url).href
    const exports = await import(url) as Record<string, StartServer>
    const startServer = exports[functionName]

    if (startServer === undefined) {
      throw new Error(`${path} does not export ${functionName}`)
    }

    return await startServer(settings)
  },
  /** @returns Microseconds of all threads, with those of the garbage collector and the pool. */
  async readCpuTime () {
    const { user, system } = process.cpuUsage()
    return user + system
  }
})
