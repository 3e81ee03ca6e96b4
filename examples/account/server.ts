// Accounts with mails: npx tsx examples/account/server.ts
//
//   DATABASE_FILE   :memory:, a SQLite file
//   ORIGIN          http://127.0.0.1:3000, the origin of the page in the links
//   SMTP_URL        mails are sent to this server, such as smtps://user:pass@mail.example.org;
//                   without it, the page /mails shows them
//   MAIL_FROM       Example <no-reply@example.org>
//   PORT            3000
//   AUTH_SECRET     a public value, for local trials only

import { readFileSync } from 'node:fs'
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import { authenticate, defineUsers, getAuth, tokenAuth } from 'fastify-token-auth'
import { accountFlows, defineAccountFlows } from 'fastify-token-auth/account'
import { SqliteAttempts, SqliteStore } from 'fastify-token-auth/sqlite'
import Database from 'libsql'
import { showMails } from './mails.js'
import { createMailer } from '../shared/mailer.js'
import { secret } from '../shared/secret.js'
import { startIfMain } from '../shared/start.js'

interface User {
  readonly id: number
  readonly email: string
  readonly passwordHash: string | null
  /** 1 if the user has proved to own the address. */
  readonly isVerified: number
}

const columns = 'id, email, password_hash AS passwordHash, verified_email IS email AS isVerified'
const page = readFileSync(new URL('page.html', import.meta.url), 'utf8')

/** Builds the app. Tests pass their own environment. */
export async function buildApp (env = process.env): Promise<FastifyInstance> {
  const { DATABASE_FILE: file = ':memory:', ORIGIN: origin = 'http://127.0.0.1:3000' } = env
  const app = Fastify({ logger: true })
  const mailer = createMailer(env)

  // A file has one connection for the sessions and another one for the users, because the stores
  // run transactions on theirs.
  const sessions = new Database(file)
  const db = file === ':memory:' ? sessions : new Database(file)
  db.exec(`CREATE TABLE IF NOT EXISTS users (
    id INTEGER PRIMARY KEY,
    email TEXT NOT NULL UNIQUE COLLATE NOCASE,
    verified_email TEXT,
    password_hash TEXT
  )`)
  app.addHook('onClose', async () => {
    await mailer.close()
    new Set([db, sessions]).forEach(each => each.close())
  })

  const findByEmail = (email: string) =>
    db.prepare(`SELECT ${columns} FROM users WHERE email = ?`).get(email) as User | undefined
  const findById = (id: number) =>
    db.prepare(`SELECT ${columns} FROM users WHERE id = ?`).get(id) as User | undefined
  const change = (sql: string, ...values: unknown[]) =>
    db.prepare(`UPDATE users SET ${sql}`).run(...values).changes === 1

  const store = new SqliteStore(sessions)
  await store.migrate()
  await app.register(tokenAuth, {
    secret,
    store,
    users: defineUsers({
      parseId: Number,
      findByLogin: findByEmail,
      findById,
      present: ({ id, email, isVerified }) => ({ id, email, isVerified: isVerified === 1 })
    }),
    throttle: { attempts: new SqliteAttempts(sessions) }
  })

  const link = (action: string, token: string): string => `${origin}/#${action}=${token}`
  await app.register(
    accountFlows,
    defineAccountFlows({
      users: {
        findByEmail,
        markEmailVerified: (id: number, email) =>
          change('verified_email = email WHERE id = ? AND email = ?', id, email),
        savePasswordHash: (id: number, hash, replaced) =>
          change('password_hash = ? WHERE id = ? AND password_hash IS ?', hash, id, replaced)
      },
      send: {
        verifyEmail: ({ user, token }) =>
          mailer.send(user.email, 'Is this your address?', link('verify', token)),
        resetPassword: ({ user, token }) =>
          mailer.send(user.email, 'Set a new password', link('reset', token)),
        signInLink: ({ user, token }) => mailer.send(user.email, 'Sign in', link('sign-in', token)),
        signInCode: ({ user, code }) =>
          mailer.send(user.email, 'Your code', `Your code is ${code}. Do not tell it to anybody.`)
      }
    })
  )

  addSignUp(app)
  addChangeOfAddress(app)
  app.get('/', (_request, reply) => reply.type('text/html').send(page))
  app.get('/protected', { onRequest: [authenticate] }, async request => request.auth)
  showMails(app, mailer)

  // The response does not show whether the address has an account, so the owner gets a mail.
  function addSignUp (app: FastifyInstance): void {
    app.post<{ Body: { email: string, password: string } }>('/sign-up', {
      schema: { body: stringsBody('email', 'password') }
    }, async (request, reply) => {
      const { email, password } = request.body
      const hash = await app.tokenAuth.hashPassword(password)
      const { changes, lastInsertRowid: id } = db
        .prepare('INSERT OR IGNORE INTO users (email, password_hash) VALUES (?, ?)')
        .run(email, hash)
      const sending = changes === 1
        ? app.accountFlows.sendVerification(id, request)
        : mailer.send(email, 'You have an account', `Sign in at ${origin}`)
      sending.catch(error => request.log.error(error, 'failed to send a mail'))
      return reply.code(202).send()
    })
  }

  // A link to the new address proves that the user owns it. The state is the old address, so the
  // link is outdated after another change.
  function addChangeOfAddress (app: FastifyInstance): void {
    const purpose = 'change-address'

    app.post<{ Body: { email: string } }>('/address', {
      onRequest: [authenticate],
      schema: { body: stringsBody('email') }
    }, async (request, reply) => {
      const user = findById(Number(getAuth(request).userId))
      const { email } = request.body
      const { token } = await app.tokenAuth.oneTimeTokens.create({
        purpose,
        subject: getAuth(request).userId,
        lifetime: '1h',
        state: user?.email ?? null,
        data: { email }
      })
      mailer.send(email, 'Is this your new address?', link('address', token))
        .catch(error => request.log.error(error, 'failed to send a mail'))
      return reply.code(202).send()
    })
    app.post<{ Body: { token: string } }>('/address/confirm', {
      schema: { body: stringsBody('token') }
    }, async (request, reply) => {
      const { subject, data, isDone } = await app.tokenAuth.oneTimeTokens
        .redeem(request.body.token, {
          purpose,
          state: ({ subject }) => findById(Number(subject))?.email ?? null
        })

      if (!isDone) {
        change('email = ?1, verified_email = ?1 WHERE id = ?2', data.email, subject)
      }

      return reply.code(204).send()
    })
  }

  return app
}

function stringsBody (...names: string[]): object {
  const string = { type: 'string', minLength: 1, maxLength: 8192 }
  const properties = Object.fromEntries(names.map(name => [name, string]))
  return { type: 'object', required: names, properties }
}

await startIfMain(import.meta.url, buildApp)
