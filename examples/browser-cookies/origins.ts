// Shows which pages may use the cookies of https://api.example.org, and which reason the log names:
// npx tsx examples/browser-cookies/origins.ts

import Fastify from 'fastify'
import { tokenAuth } from 'fastify-token-auth'
import { MemoryStore } from 'fastify-token-auth/memory'
import { secret } from '../shared/secret.js'

let reason = ''
const stream = {
  write (line: string): void {
    reason = (JSON.parse(line) as { reason?: string }).reason ?? reason
  }
}
const app = Fastify({ logger: { level: 'warn', stream }, trustProxy: true })
const ann = { id: '1', username: 'ann', passwordHash: '' }

await app.register(tokenAuth, {
  secret,
  store: new MemoryStore(),
  users: { findByLogin: () => ann, findById: () => ann },
  refreshToken: { transport: 'cookie' },
  cookie: { origins: ['https://app.example.org'] }
})
ann.passwordHash = await app.tokenAuth.hashPassword('correct horse')

// The headers that browsers, proxies and curl send.
const api = { host: 'api.example.org', 'x-forwarded-proto': 'https' }
const vite = { origin: 'http://192.168.0.7:5173' }
const requests: Record<string, Record<string, string>> = {
  'page of the API itself': { ...api, 'sec-fetch-site': 'same-origin' },
  'page of an allowed origin': {
    ...api,
    origin: 'https://app.example.org',
    'sec-fetch-site': 'same-site'
  },
  'page of another subdomain': {
    ...api,
    origin: 'https://blog.example.org',
    'sec-fetch-site': 'same-site'
  },
  'page of another site': {
    ...api,
    origin: 'https://shop.example.com',
    'sec-fetch-site': 'cross-site'
  },
  'older browser, same origin': { ...api, origin: 'https://api.example.org' },
  'the same, proxy sends no scheme': { host: api.host, origin: 'https://api.example.org' },
  'typed URL or bookmark': { ...api, 'sec-fetch-site': 'none' },
  curl: api,
  'curl with X-Token-Transport: cookie': { ...api, 'x-token-transport': 'cookie' },
  'Vite on localhost': {
    host: '127.0.0.1:3000',
    origin: 'http://localhost:5173',
    'sec-fetch-site': 'same-origin'
  },
  'Vite on a LAN, changeOrigin: false': { ...vite, host: '192.168.0.7:5173' },
  'Vite on a LAN, changeOrigin: true': { ...vite, host: '127.0.0.1:3000' }
}

console.log('login from                           status  reason in the log')

for (const [name, headers] of Object.entries(requests)) {
  reason = ''
  const payload = { username: 'ann', password: 'correct horse' }
  const { statusCode } = await app.inject({ method: 'POST', url: '/auth/login', headers, payload })
  console.log(`${name.padEnd(37)}${statusCode}     ${reason}`.trimEnd())
}

await app.close()
