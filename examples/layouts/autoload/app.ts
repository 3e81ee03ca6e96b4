// An app of fastify-cli with @fastify/autoload.
import { join } from 'node:path'
import autoload from '@fastify/autoload'
import type { FastifyInstance } from 'fastify'

/** Loads every file of `plugins` and `routes`. fastify-cli calls it. */
export default async function app (fastify: FastifyInstance, options: object): Promise<void> {
  await fastify.register(autoload, { dir: join(import.meta.dirname, 'plugins'), options })
  await fastify.register(autoload, { dir: join(import.meta.dirname, 'routes'), options })
}
