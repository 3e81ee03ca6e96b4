// `tsc -p .` compiles this file. It checks the types of users. See also typed-app.test.ts.

import Fastify from 'fastify'
import { defineUsers, tokenAuth } from '../../src/index.js'
import type { AuthUser, Users } from '../../src/index.js'
import { MemoryStore } from '../../src/stores/memory/index.js'

declare function takes<T> (value: T): void

const secret = 'q7Yk2mVx0TzRb5Wn8Ls3Jd6Hf9Gc1Pa4'
const store = new MemoryStore()

const app = Fastify()

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
defineUsers({ findByLogin: () => null, findById: (id: number) => ({ id }) })
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
