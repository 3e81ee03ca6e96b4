// `tsc -p .` compiles this file. An app with users of its own: without a cast and without `!`.

import Fastify from 'fastify'
import type { FastifyRequest } from 'fastify'
import { defineUsers, getAuth, tokenAuth } from '../../src/index.js'
import type { Auth, AuthUser, Users } from '../../src/index.js'
import { MemoryStore } from '../../src/stores/memory/index.js'
import { getAuth as getAuthOfVerifier } from '../../src/verifier/index.js'

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true :
  false

declare function holds<Proof extends true> (proof?: Proof): void
declare function takes<T> (value: T): void

const secret = 'q7Yk2mVx0TzRb5Wn8Ls3Jd6Hf9Gc1Pa4'
const store = new MemoryStore()

// The app: rows with numeric ids, as SQL databases return them

interface Row {
  id: number
  email: string
  name: string
  role: 'admin' | 'member'
  passwordHash: string | null
  disabled: 0 | 1
}

interface UserTable {
  findOne(where: { readonly id: number } | { readonly email: string }): Promise<Row | null>
  update(where: { readonly id: number, readonly passwordHash: string }, set: Partial<Row>): unknown
}

declare const db: { readonly users: UserTable }

const app = Fastify()
const users = defineUsers({
  parseId: Number,
  findByLogin: email => db.users.findOne({ email }),
  findById: id => db.users.findOne({ id }),
  savePasswordHash: (id, passwordHash, replaced) =>
    db.users.update({ id, passwordHash: replaced }, { passwordHash }),
  claims: user => {
    holds<Equal<typeof user, Row>>()
    return { role: user.role }
  },
  present: ({ id, email, name }) => ({ id, email, name })
})
await app.register(tokenAuth, { secret, store, users })

app.get('/orders', { onRequest: [app.authenticate] }, async request => {
  const { userId, sessionId } = getAuth(request)
  holds<Equal<ReturnType<typeof getAuth>, Auth>>()
  await app.tokenAuth.passwordChanged(userId, { keep: sessionId })
  return users.findById(Number(userId))
})
app.post<{ Body: { email: string } }>('/sign-up', async (request, reply) => {
  const user = await db.users.findOne({ email: request.body.email })

  if (user === null) {
    return reply.code(404).send()
  }

  return app.tokenAuth.openSession(user.id, request, { reply, device: 'web' })
})
takes<Auth>(getAuthOfVerifier({} as FastifyRequest))

// Other forms of look-ups

interface Person {
  readonly id: string
  readonly email: string
  readonly role: string
}
declare const people: Map<string, Person>
/** A query builder that can be awaited, but is no promise. */
declare const query: PromiseLike<Person | undefined>

const byString = defineUsers({
  async findByLogin (email) {
    return people.get(email)
  },
  findById: id => people.get(id) ?? null,
  claims (person) {
    return { role: person.role }
  }
})
takes<Users>(byString)
await app.register(tokenAuth, { secret, store, users: byString })
await app.register(tokenAuth, {
  secret,
  store,
  users: { findByLogin: email => people.get(email), findById: id => people.get(id) }
})
await app.register(tokenAuth, {
  secret,
  store,
  users: {
    findByLogin: email => people.get(email),
    findById: id => people.get(id),
    claims: (person: Person) => ({ role: person.role })
  }
})
defineUsers({
  findByLogin: () => query,
  findById: () => query,
  present: ({ email }) => ({ email })
})
defineUsers({
  parseId: id => id === '' ? null : BigInt(id),
  findByLogin: () => null,
  findById: async id => {
    takes<bigint>(id)
    return { id }
  }
})

const annotated: Users<Person> = {
  findByLogin: email => people.get(email),
  findById: id => people.get(id),
  present: person => ({ role: person.role })
}
takes<Users<AuthUser>>(annotated)

// Mistakes

// @ts-expect-error: without parseId, the id is a string
defineUsers({ findByLogin: () => null, findById: (id: number) => db.users.findOne({ id }) })
// @ts-expect-error: the row has no such member
defineUsers({ findByLogin: email => people.get(email), findById: () => null, claims: p => p.rule })
// @ts-expect-error: an ObjectId is no id
defineUsers({ findByLogin: () => ({ id: { toHexString: () => '' } }), findById: () => null })
await app.register(tokenAuth, {
  secret,
  store,
  // @ts-expect-error: parseId requires defineUsers
  users: { parseId: Number, findByLogin: () => null, findById: (id: number) => ({ id }) }
})
