import t from 'tap'
import { buildApp } from '../../examples/passkeys/server.js'
import { getChromiumSkipReason, startBrowser } from '../helpers/browser/browser.js'

const skip = getChromiumSkipReason()

t.test('a user signs in and steps up with a passkey', { skip }, async t => {
  const app = await buildApp({})
  t.teardown(() => app.close())
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as { port: number }
  const browser = await startBrowser(t)
  const page = await browser.newPage()
  const devtools = await browser.newCDPSession(page)
  await devtools.send('WebAuthn.enable')
  await devtools.send('WebAuthn.addVirtualAuthenticator', {
    options: {
      protocol: 'ctap2',
      transport: 'internal',
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true
    }
  })
  await page.goto(`http://localhost:${port}/`)

  async function press (action: string): Promise<string | null> {
    await page.click(`[data-action="${action}"]`)
    const output = page.locator('output')
    await output.filter({ hasText: action }).waitFor()
    return output.textContent()
  }

  const bodies: string[] = []
  page.on('request', request => {
    if (request.url().endsWith('/passkeys/sign-in')) {
      bodies.push(request.postData() ?? '')
    }
  })
  t.match(await press('signIn'), /^signIn: (?!done)/, 'without a passkey')
  t.equal(await press('logIn'), 'logIn: done')
  t.equal(await press('pay'), 'pay: AUTH_REAUTHENTICATION_REQUIRED', 'a password is not enough')
  t.equal(await press('register'), 'register: done')
  t.equal(await press('elevate'), 'elevate: done')
  t.equal(await press('pay'), 'pay: done')
  t.equal((await app.tokenAuth.listSessions('1')).length, 1, 'the step-up opened no session')
  await page.reload()
  t.equal(await press('pay'), 'pay: AUTH_ACCESS_MISSING')
  t.equal(await press('signIn'), 'signIn: done')
  t.equal(await press('pay'), 'pay: done')
  t.equal((await app.tokenAuth.listSessions('1')).length, 2)

  const again = await app.inject({
    method: 'POST',
    url: '/passkeys/sign-in',
    payload: JSON.parse(bodies[0] ?? '')
  })
  t.equal(again.statusCode, 400, 'a response of the authenticator counts once')
})
