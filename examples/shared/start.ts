import { realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { FastifyInstance } from 'fastify'

/**
 * Listens, and closes the app on SIGINT and SIGTERM.
 *
 * @param port 0 selects an unused port. The environment variable `PORT`, or 3000, by default.
 * @returns The URL of the app.
 */
export async function start (
  app: FastifyInstance,
  port = Number(process.env.PORT ?? 3000)
): Promise<string> {
  for (const event of ['SIGINT', 'SIGTERM', 'disconnect'] as const) {
    process.once(event, () => {
      // The channel to round-robin.ts would keep this process alive.
      void app.close().then(() => process.channel?.unref())
      // Browsers open connections in advance, and Node.js waits a minute for their first request.
      setTimeout(() => app.server.closeAllConnections(), 2_000).unref()
    })
  }

  const url = await app.listen({ host: '127.0.0.1', port })
  process.send?.(url)
  return url
}

/**
 * Builds and starts an app, if the module is the one that Node.js was started with.
 *
 * Tests import the same module and call `buildApp` with other parameters.
 *
 * @param moduleUrl `import.meta.url` of the module.
 */
export async function startIfMain (
  moduleUrl: string,
  buildApp: () => Promise<FastifyInstance>
): Promise<void> {
  const [, main] = process.argv

  if (main !== undefined && realpathSync(main) === fileURLToPath(moduleUrl)) {
    await start(await buildApp())
  }
}
