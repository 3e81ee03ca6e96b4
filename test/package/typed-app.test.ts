// These tests compile a realistic app with the built declarations (`npm run build`).

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { createConsumer, root } from '../helpers/consumer.js'

const app = `
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import { createAuthClient } from 'fastify-token-auth/client'
import {
  authenticate,
  defineUsers,
  getAuth,
  requireClaims,
  requireFresh,
  tokenAuth
} from 'fastify-token-auth'
import type { TokenStore } from 'fastify-token-auth'

declare module 'fastify-token-auth' {
  interface AuthClaims {
    role: 'admin' | 'member'
  }

  interface PublicUser {
    id: number
    name: string
  }
}

/** Row of a table. */
interface User {
  id: number
  email: string
  name: string
  role: 'admin' | 'member'
  passwordHash: string | null
  disabled: 0 | 1
}

type Where = Partial<Pick<User, 'id' | 'email' | 'passwordHash'>>

interface Database {
  findUser(where: Where): Promise<User | undefined>
  insertUser(values: Omit<User, 'id' | 'role' | 'disabled'>): Promise<User>
  updateUser(where: Where, values: Partial<User>): Promise<void>
}

export async function createApp (db: Database, store: TokenStore): Promise<FastifyInstance> {
  const app = Fastify()
  const users = defineUsers({
    parseId: Number,
    findByLogin: email => db.findUser({ email }),
    findById: id => db.findUser({ id }),
    savePasswordHash: (id, passwordHash, replaced) =>
      db.updateUser({ id, passwordHash: replaced }, { passwordHash }),
    claims: user => ({ role: user.role }),
    present: ({ id, name }) => ({ id, name })
  })
  await app.register(tokenAuth, {
    secret: process.env['AUTH_SECRET'],
    store,
    users,
    on: { reuse: ({ userId }) => app.log.warn({ userId }) }
  })

  app.post<{ Body: { email: string, name: string, password: string } }>(
    '/sign-up',
    async (request, reply) => {
      const { email, name, password } = request.body
      const passwordHash = await app.tokenAuth.hashPassword(password)
      const user = await db.insertUser({ email, name, passwordHash })
      const tokens = await app.tokenAuth.openSession(user.id, request, { reply, device: null })
      return reply.code(201).send({ ...tokens, hello: tokens.user.name.toUpperCase() })
    }
  )
  app.get('/me', { onRequest: [authenticate] }, async request => {
    const { userId, claims } = getAuth(request)
    const user = await users.findById(Number(userId))
    return { name: user?.name, isAdmin: claims.role === 'admin' }
  })
  app.put<{ Body: { password: string } }>(
    '/password',
    { onRequest: [authenticate, requireFresh('5m')] },
    async request => {
      const { userId, sessionId } = getAuth(request)
      const passwordHash = await app.tokenAuth.hashPassword(request.body.password)
      await db.updateUser({ id: Number(userId) }, { passwordHash })
      await app.tokenAuth.passwordChanged(userId, { keep: sessionId })
    }
  )
  app.delete<{ Params: { id: number } }>(
    '/users/:id',
    { onRequest: [authenticate, requireClaims({ role: 'admin' })] },
    async request => {
      await db.updateUser({ id: request.params.id }, { disabled: 1 })
      return { sessions: await app.tokenAuth.revokeUser(request.params.id) }
    }
  )
  return app
}

/** The browser's side. */
export async function greet (): Promise<string> {
  const auth = createAuthClient<{ id: number, name: string }>()
  const { user } = await auth.ready
  auth.subscribe(({ user }) => user?.name.toUpperCase())
  return user === null ? 'Hello' : \`Hello \${user.name}\`
}
`

const mistakes: Record<string, readonly [replaced: string, by: string, error: RegExp]> = {
  'a claim of another type': [
    'claims: user => ({ role: user.role })',
    'claims: user => ({ role: user.name })',
    /Type 'string' is not assignable to type '"admin" \| "member"'/
  ],
  'a member that the user does not have': ['role: user.role', 'role: user.rolle', /'rolle'/],
  'a public user without a declared member': [
    '=> ({ id, name })',
    '=> ({ id })',
    /'name' is missing/
  ],
  'a look-up by another type than that of parseId': [
    'findById: id => db.findUser({ id })',
    'findById: (id: string) => db.findUser({ email: id })',
    /'string' is not assignable to type 'number'|'number' is not assignable to type 'string'/
  ],
  'an option of openSession': ['device: null', 'divice: null', /'divice' does not exist/],
  'an unknown member of the user in a page': ['user.name}', 'user.email}', /'email' does not exist/]
}

const configurations = {
  nodenext: { module: 'nodenext', moduleResolution: 'nodenext' },
  bundler: { module: 'esnext', moduleResolution: 'bundler' },
  'bundler without exact optional properties': {
    module: 'esnext',
    moduleResolution: 'bundler',
    exactOptionalPropertyTypes: false
  }
}

/** Compiles an app as a project of its own. Returns the output of the compiler. */
async function compile (t: Test, text: string, options: object): Promise<string> {
  const consumer = createConsumer(['fastify', '@types/node'])
  t.teardown(() => {
    consumer.remove()
  })
  const file = 'tsconfig.json'
  const config = JSON.parse(readFileSync(join(consumer.folder, file), 'utf8'))
  const compilerOptions = {
    ...config.compilerOptions,
    lib: ['ES2023', 'DOM'],
    noUncheckedIndexedAccess: true,
    noPropertyAccessFromIndexSignature: true,
    ...options
  }
  t.equal(compilerOptions.skipLibCheck, false)
  consumer.write(file, JSON.stringify({ ...config, compilerOptions }))
  consumer.write('app.ts', text)
  return consumer.compile()
}

t.before(() => {
  if (!existsSync(join(root, 'dist/index.d.ts'))) {
    throw new Error('dist is missing: run `npm run build`')
  }
})

t.test('the app has no cast and no `!`', async t => {
  t.notMatch(app, /\bas\b|\w!|\bany\b|@ts-|<any>|satisfies/)
})

for (const [name, options] of Object.entries(configurations)) {
  t.test(`the app compiles with ${name}`, async t => {
    t.equal(await compile(t, app, options), '')
  })
}

t.test('the compiler finds mistakes', async t => {
  for (const [mistake, [replaced, by, error]] of Object.entries(mistakes)) {
    const text = app.replace(replaced, by)
    t.not(text, app, mistake)
    t.match(await compile(t, text, configurations.nodenext), error, mistake)
  }
})
