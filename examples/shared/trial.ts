// What it takes to try an example: a secret, a start, and what a new user is made of.

import { realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { FastifyInstance } from 'fastify'

/** For the trial alone; in earnest AUTH_SECRET is set, to what `openssl rand -base64 48` prints. */
export const secret = process.env.AUTH_SECRET ?? 'for-the-demo-alone-Vq3xZ8nK1rT6wY0p'

/** Listens, if that module is the one that node was started with. */
export async function startIfMain (
  moduleUrl: string,
  buildApp: () => Promise<FastifyInstance>
): Promise<void> {
  if (process.argv[1] === undefined || realpathSync(process.argv[1]) !== fileURLToPath(moduleUrl)) {
    return
  }

  const app = await buildApp()

  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      void app.close()
    })
  }

  await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT ?? 3000) })
}

/** The body of a sign-up, as JSON Schema. */
export const signUpBody = {
  type: 'object',
  required: ['username', 'password'],
  properties: {
    username: { type: 'string', minLength: 1, maxLength: 64 },
    password: { type: 'string', minLength: 8, maxLength: 1024 }
  }
} as const
