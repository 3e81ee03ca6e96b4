// The demo: npm run demo
// It prints the URL of its page, and commands for a terminal.
//
//   PORT              3000
//   DEMO_DATABASE     demo.db, a SQLite file
//   AUTH_SECRET       saved beside the database by default, so that a restart signs nobody out
//   CLIENT_SECRET     secret of the OAuth client "orders"; saved beside the database by default
//   REFRESH_GRACE     10s
//   ACCESS_LIFETIME   60s, which is short enough to watch refreshes
//   COOKIE_SECURE     true; set "false" for Safari, which rejects Secure cookies over http
//   RECENT_LOGIN      1m, maximum age of the login before a sensitive action
//   SMTP_URL          mail server, such as smtps://user:pass@mail.example.org; by default, the page
//                     /mails shows the mails
//   MAIL_FROM         Example <no-reply@example.org>

import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import Fastify, { LogController } from 'fastify'
import { authenticate, requireClaims, tokenAuth } from 'fastify-token-auth'
import { SqliteAttempts, SqliteStore } from 'fastify-token-auth/sqlite'
import Database from 'libsql'
import { findFreePort } from '../shared/free-port.js'
import { createMailer } from '../shared/mailer.js'
import { start } from '../shared/start.js'
import { addAccountFlows } from './account-routes.js'
import { Accounts } from './accounts.js'
import { Attacker } from './attacker.js'
import { servePage } from './page-routes.js'
import { SecretBox } from './secret-box.js'
import { UserTable } from './users.js'
import type { DemoUser } from './users.js'

declare module 'fastify-token-auth' {
  interface AuthClaims {
    role?: DemoUser['role']
  }
}

const {
  PORT = '3000',
  DEMO_DATABASE: database = 'demo.db',
  AUTH_SECRET: secret = readOrCreate(`${database}.secret`, createSecret),
  CLIENT_SECRET: clientSecret = readOrCreate(`${database}.client`, createSecret),
  REFRESH_GRACE: grace = '10s',
  ACCESS_LIFETIME: lifetime = '60s',
  COOKIE_SECURE,
  RECENT_LOGIN: recentLogin = '1m'
} = process.env
const port = Number(PORT) || await findFreePort()
const url = `http://127.0.0.1:${port}`

const app = Fastify({
  logger: {
    transport: {
      target: 'pino-pretty',
      options: { ignore: 'pid,hostname,reqId', translateTime: 'HH:MM:ss' }
    }
  },
  logController: new LogController({ disableRequestLogging: true })
})

const db = new Database(database)
const users = new UserTable(db)
const accounts = new Accounts(db, users)
const mailer = createMailer(process.env)
const sessions = new Database(database)
// Fastify runs this hook after those of the plugin, because it was added before them.
app.addHook('onClose', async () => {
  sessions.close()
  await mailer.close()
})
const store = new SqliteStore(sessions)
await store.migrate()
servePage(app)
const attacker = new Attacker()
attacker.addRoutes(app, toMillis(grace))

const logEvent = (message: string) => (event: object): void => {
  app.log.info(event, message)
}

await app.register(tokenAuth, {
  secret,
  store,
  users: {
    findByLogin: login => users.findByLogin(login),
    findById: id => users.findById(id),
    claims: user => ({ role: (user as DemoUser).role }),
    present: user => presentUser(user as DemoUser)
  },
  throttle: { attempts: new SqliteAttempts(sessions) },
  accessToken: { lifetime },
  // Other services verify access tokens with the public key: see examples/resource-server.
  keys: [readOrCreate(`${database}.key`, createKey)],
  issuer: url,
  audience: 'demo',
  oauth: { clients: [{ clientId: 'phone' }, { clientId: 'orders', clientSecret, sync: true }] },
  dpop: true,
  publicUrl: url,
  // The page asks for a cookie. curl and apps get the token in the body.
  refreshToken: { grace, transport: 'both' },
  cookie: { secure: COOKIE_SECURE !== 'false' },
  on: {
    login: logEvent('login'),
    'login-rejected': logEvent('login rejected'),
    refresh: logEvent('refresh'),
    replay: logEvent('replay: returned the same successor'),
    recovery: logEvent('recovery: returned the successor again, because its response was lost'),
    reuse (event) {
      app.log.info(event, 'reuse: revoked the session, because an outdated token was presented')
      attacker.recordReuse(event)
    },
    'session-ended': logEvent('session-ended'),
    'link-sent': logEvent('link-sent'),
    'email-verified': logEvent('email-verified'),
    'password-reset': logEvent('password-reset'),
    'second-factor-failed': logEvent('second-factor-failed')
  }
})
await addAccountFlows(app, {
  users,
  accounts,
  mailer,
  secrets: new SecretBox(readOrCreate(`${database}.totp.secret`, createSecret)),
  origin: url,
  recentLogin
})

const signUpSchema = {
  type: 'object',
  required: ['username', 'password'],
  properties: {
    // Names with @ are addresses, which need a verification: see account-routes.ts.
    username: { type: 'string', pattern: '^[^@]+$', maxLength: 64 },
    password: { type: 'string', minLength: 8, maxLength: 1024 }
  }
}

app.put<{ Body: { username: string, password: string } }>('/register', {
  schema: { body: signUpSchema }
}, async (request, reply) => {
  const { username, password } = request.body
  const user = users.add(username, await app.tokenAuth.hashPassword(password))

  if (user === null) {
    return reply.code(409).send({ message: 'Name is taken' })
  }

  return reply.code(201).send({ id: user.id, username, role: user.role })
})

app.get('/protected', { onRequest: [authenticate] }, async request => ({
  hello: request.auth?.userId
}))

app.get('/admin', {
  onRequest: [authenticate, requireClaims({ role: 'admin' })]
}, async () => ({ message: 'only for admins' }))

await start(app, port)

console.log(`
  The demo listens on ${url}. Open that in a browser.

  Or try it in another terminal. Access tokens expire after ${lifetime} here:

  curl -X PUT ${url}/register -H 'content-type: application/json' \\
    -d '{"username":"ann","password":"correct horse"}'
  curl ${url}/auth/login -d username=ann --data-urlencode 'password=correct horse'
  curl ${url}/protected -H "authorization: Bearer $ACCESS_TOKEN"
  curl ${url}/admin -H "authorization: Bearer $ACCESS_TOKEN"
  curl ${url}/auth/refresh -d refresh_token=$REFRESH_TOKEN
  curl ${url}/auth/sessions -H "authorization: Bearer $ACCESS_TOKEN"
  curl ${url}/auth/logout -d refresh_token=$REFRESH_TOKEN

  As an OAuth client, for example an app on a phone:

  curl ${url}/.well-known/oauth-authorization-server
  curl ${url}/auth/login -d client_id=phone -d username=ann \\
    --data-urlencode 'password=correct horse'
  curl ${url}/auth/token -d client_id=phone -d grant_type=refresh_token \\
    -d refresh_token=$REFRESH_TOKEN
`)

function presentUser ({ id, username, email, isVerified, totpSecret }: DemoUser) {
  return {
    id,
    username,
    email,
    isVerified: isVerified === 1,
    hasSecondFactor: totpSecret !== null
  }
}

function readOrCreate (file: string, create: () => string): string {
  if (!existsSync(file)) {
    writeFileSync(file, create(), { mode: 0o600 })
  }

  return readFileSync(file, 'utf8')
}

/** Converts a duration such as `10s` or `500ms`. */
function toMillis (duration: string): number {
  const unit = duration.endsWith('ms') ? 1 : duration.endsWith('m') ? 60_000 : 1000
  return Number.parseFloat(duration) * unit
}

function createSecret (): string {
  return randomBytes(48).toString('base64')
}

function createKey (): string {
  const { privateKey } = generateKeyPairSync('ed25519')
  return privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
}
