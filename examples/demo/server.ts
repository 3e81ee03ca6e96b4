// `npm run demo`: starts the demo, and prints the address of its page and what else to try.
//
//   PORT            3000
//   DEMO_DATABASE   demo.db, a SQLite file
//   AUTH_SECRET     by default made once and kept beside the file, so that a restart signs nobody out
//   CLIENT_SECRET   likewise; of the OAuth client "orders"
//   REFRESH_GRACE   10s
//   ACCESS_LIFETIME 60s, so that refreshes are seen
//   COOKIE_SECURE   true; `false` for Safari, which keeps no Secure cookie over http

import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { freePort } from '../shared/free-port.js'
import { createDemo } from './app.js'

const {
  PORT = '3000',
  DEMO_DATABASE: database = 'demo.db',
  AUTH_SECRET,
  CLIENT_SECRET,
  REFRESH_GRACE: grace = '10s',
  ACCESS_LIFETIME: lifetime = '60s',
  COOKIE_SECURE
} = process.env

function kept (file: string, make: () => string): string {
  if (!existsSync(file)) {
    writeFileSync(file, make(), { mode: 0o600 })
  }

  return readFileSync(file, 'utf8')
}

function makeSecret (): string {
  return randomBytes(48).toString('base64')
}

function makeKey (): string {
  return generateKeyPairSync('ed25519').privateKey.export({
    type: 'pkcs8',
    format: 'pem'
  }) as string
}

const port = Number(PORT) || await freePort()
const app = await createDemo({
  secret: AUTH_SECRET ?? kept(`${database}.secret`, makeSecret),
  key: kept(`${database}.key`, makeKey),
  issuer: `http://127.0.0.1:${port}`,
  clientSecret: CLIENT_SECRET ?? kept(`${database}.client`, makeSecret),
  database,
  grace,
  lifetime,
  secure: COOKIE_SECURE !== 'false'
})
const url = await app.listen({ host: '127.0.0.1', port })

console.log(`
  The demo listens on ${url}. Open that in a browser.

  Or try, in another terminal (an access token is good for ${lifetime} here):

  curl -X PUT ${url}/register -H 'content-type: application/json' -d '{"username":"ann","password":"correct horse"}'
  curl ${url}/auth/login -d username=ann --data-urlencode 'password=correct horse'
  curl ${url}/protected -H "authorization: Bearer $ACCESS_TOKEN"
  curl ${url}/admin -H "authorization: Bearer $ACCESS_TOKEN"
  curl ${url}/auth/refresh -d refresh_token=$REFRESH_TOKEN
  curl ${url}/auth/sessions -H "authorization: Bearer $ACCESS_TOKEN"
  curl ${url}/auth/logout -d refresh_token=$REFRESH_TOKEN

  As an OAuth client, such as an app on a phone:

  curl ${url}/.well-known/oauth-authorization-server
  curl ${url}/auth/login -d username=ann --data-urlencode 'password=correct horse' -d client_id=phone
  curl ${url}/auth/token -d grant_type=refresh_token -d client_id=phone -d refresh_token=$REFRESH_TOKEN
`)

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    void app.close()
  })
}
