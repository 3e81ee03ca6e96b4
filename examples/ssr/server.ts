// Pages that a server renders with data of an API: npx tsx examples/ssr/server.ts
// Then open http://127.0.0.1:3000 and log in as "ann" with "correct horse".
//
//   PORT            3000
//   COOKIE_SECURE   true; set "false" for Safari, which rejects Secure cookies over http
//   AUTH_SECRET     a public value, for local trials only

import { start } from '../shared/start.js'
import { buildApi } from './api.js'
import { buildPages } from './pages.js'

const api = await buildApi()
// In production, both are services of their own, and the API listens in a private network.
const apiUrl = await api.listen({ host: '127.0.0.1', port: 0 })
const pages = await buildPages({ apiUrl })
pages.addHook('onClose', () => api.close())

console.log(`listening on ${await start(pages)}`)
