import t from 'tap'
import { open } from './cookie-app.js'

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
