import type { FastifyInstance } from 'fastify'
import { getAuth, requireClaims, requireFresh } from 'fastify-token-auth'
import type { AppDatabase, Role } from './database.js'

const username = { type: 'string', pattern: '^[a-z0-9_-]{3,30}$' }
const password = { type: 'string' }
const id = { type: 'integer' }
const role = { enum: ['admin', 'member'] }

// These hooks run after that of `protect: 'all'`, which checks the access token.
const requireAdmin = requireClaims({ role: 'admin' })
const requireRecentLogin = requireFresh('5m')

/** Routes of the app. Each one requires an access token, unless its `config` says otherwise. */
export async function addRoutes (app: FastifyInstance, { db }: { db: AppDatabase }): Promise<void> {
  app.post<{ Body: { username: string, password: string } }>('/sign-up', {
    config: { tokenAuth: 'public', rateLimit: { max: 10, timeWindow: '1 hour' } },
    schema: { body: object({ username, password }), security: [] }
  }, async (request, reply) => {
    const { username, password } = request.body
    const passwordHash = await app.tokenAuth.hashPassword(password)
    const user = await db.insertInto('users')
      .values({ username, passwordHash })
      .onConflict(conflict => conflict.column('username').doNothing())
      .returning(['id', 'username', 'role'])
      .executeTakeFirst()

    if (user === undefined) {
      throw createError(409, 'Username is taken')
    }

    return reply.code(201).send(user)
  })

  app.put<{ Body: { password: string } }>('/password', {
    onRequest: [requireRecentLogin],
    schema: { body: object({ password }) }
  }, async (request, reply) => {
    const { userId, sessionId } = getAuth(request)
    const passwordHash = await app.tokenAuth.hashPassword(request.body.password)
    await db.updateTable('users').set({ passwordHash }).where('id', '=', Number(userId)).execute()
    await app.tokenAuth.passwordChanged(userId, { keep: sessionId }) // signs out other devices
    return reply.code(204).send()
  })

  app.get(
    '/users',
    { onRequest: [requireAdmin] },
    () => db.selectFrom('users').select(['id', 'username', 'role']).orderBy('username').execute()
  )

  app.put<{ Params: { id: number }, Body: { role: Role } }>('/users/:id/role', {
    onRequest: [requireAdmin, requireRecentLogin],
    schema: { params: object({ id }), body: object({ role }) }
  }, async (request, reply) => {
    const user = await db.updateTable('users').set({ role: request.body.role })
      .where('id', '=', request.params.id).returning('id').executeTakeFirst()

    if (user === undefined) {
      throw createError(404, 'User is unknown')
    }

    await app.tokenAuth.revokeUser(user.id) // because access tokens contain the old role
    return reply.code(204).send()
  })
}

/** JSON Schema of an object that has these properties and no others. */
function object (properties: object): object {
  return {
    type: 'object',
    required: Object.keys(properties),
    properties,
    additionalProperties: false
  }
}

function createError (statusCode: number, message: string): Error {
  return Object.assign(new Error(message), { statusCode })
}
