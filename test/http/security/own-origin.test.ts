import t from 'tap'
import { TrustedOrigins } from '../../../src/http/csrf.js'
import { silentLogger } from '../../helpers/log.js'
import { credentials, open, withCookies } from './cookie-app.js'

t.test('the origin null is never the own origin', async t => {
  const test = await open(t, { options: withCookies, fastify: { trustProxy: true } })

  const logIn = async (protocol: string, origin: string): Promise<unknown> => {
    const headers = { 'x-token-transport': 'cookie', 'x-forwarded-proto': protocol, origin }
    const response = await test.post('/auth/login', credentials, headers)
    return response.statusCode === 200 ? 200 : response.json().code
  }

  for (const protocol of ['foo', 'file', 'data', 'https', '']) {
    t.equal(await logIn(protocol, 'null'), 'AUTH_ORIGIN_REJECTED', protocol)
  }

  t.equal(await logIn('https', 'https://localhost:80'), 200)
})

t.test('a scheme without an origin has no own origin', async t => {
  for (const protocol of ['foo', 'capacitor', 'file', 'not a scheme']) {
    const request = { method: 'POST', protocol, host: 'a.example', headers: { origin: 'null' } }
    t.throws(
      () => {
        new TrustedOrigins(new Set(), silentLogger, 'auth').assert(request)
      },
      { code: 'AUTH_ORIGIN_REJECTED' },
      protocol
    )
  }
})
