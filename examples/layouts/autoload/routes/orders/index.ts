import type { FastifyInstance } from 'fastify'
import { authenticate } from 'fastify-token-auth'

/** Adds `GET /orders`. The name of the folder is the prefix. */
export default async function orders (app: FastifyInstance): Promise<void> {
  app.get('/', { onRequest: [authenticate] }, request => ({ userId: request.auth?.userId }))
}
