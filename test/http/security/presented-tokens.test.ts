import t from 'tap'
import { ACCESS, logInWithCookies, open, withCookies } from './cookie-app.js'

t.test('a polluted prototype makes no route public', async t => {
  const test = await open(t)
  const { access_token: token } = await test.login()
  const prototype = Object.prototype as { tokenAuth?: string }
  t.teardown(() => {
    delete prototype.tokenAuth
  })
  Object.defineProperty(prototype, 'tokenAuth', {
    value: 'public',
    configurable: true,
    enumerable: false
  })
  t.equal((await test.get('/protected')).json().code, 'AUTH_ACCESS_MISSING')
  t.equal((await test.get('/auth/me')).json().code, 'AUTH_ACCESS_MISSING')
  t.equal((await test.get('/protected', token)).statusCode, 200)
})

t.test('a cookie with an authorization scheme contains no token, also if it is cached', async t => {
  const test = await open(t, { options: withCookies })
  const { access } = await logInWithCookies(test)

  const readCode = async (headers: Record<string, string>): Promise<unknown> => {
    const response = await test.app.inject({ url: '/protected', headers })
    return response.statusCode === 200 ? 200 : response.json().code
  }

  for (const prefix of ['Bearer ', 'bearer  ', 'DPoP ', ' ']) {
    t.equal(await readCode({ authorization: `Bearer ${access}` }), 200, 'cached by its header')
    t.equal(await readCode({ cookie: `${ACCESS}=${prefix}${access}` }), 'AUTH_ACCESS_INVALID')
  }

  t.equal(await readCode({ cookie: `${ACCESS}=${access}` }), 200)
})
