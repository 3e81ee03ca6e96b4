import t from 'tap'
import { PASSWORD } from '../../helpers/app.js'
import { attempts, createRejectingApp } from './rejecting-app.js'
import type { Attempt } from './rejecting-app.js'

const { users, events, post, log, hashes, attempt } = await createRejectingApp(t)

function errorsLogged (): Array<Record<string, unknown>> {
  return log.map(line => JSON.parse(line) as Record<string, unknown>).filter(({ level }) =>
    level as number >= 50
  )
}

t.test('the correct password of an enabled user logs in', async t => {
  t.equal((await post('/auth/login', { username: 'ann', password: PASSWORD })).statusCode, 200)
})

t.test('every rejected login has the same status, headers and body', async t => {
  const expected = await attempt(attempts['a wrong password'] as Attempt)
  t.equal(expected.status, 401)
  t.strictSame(JSON.parse(expected.body), {
    statusCode: 401,
    code: 'AUTH_CREDENTIALS_REJECTED',
    error: 'Unauthorized',
    message: 'User name or password is incorrect'
  })
  t.match(expected.headers, {
    'www-authenticate': 'Bearer realm="auth"',
    'content-length': /^\d+$/,
    'cache-control': 'no-store'
  })

  for (const [name, one] of Object.entries(attempts)) {
    t.strictSame(await attempt(one), expected, name)
  }
})

// SQLite and MySQL have no booleans, so an unconverted record contains 1.
t.test('a user with disabled: 1 is disabled', async t => {
  const user = users.get('u-disabled') as { disabled: unknown }
  t.teardown(() => {
    user.disabled = true
  })
  user.disabled = 1
  t.equal((await post('/auth/login', { username: 'disabled', password: PASSWORD })).statusCode, 401)
})

t.test('the event login-rejected has the reason', async t => {
  for (const [name, one] of Object.entries(attempts)) {
    events.length = 0
    await attempt(one)
    const userId = one.username === 'nobody' ? null : `u-${one.username}`
    t.match(events, [{ name: 'login-rejected', reason: one.reason, userId }], name)
    t.equal(events.length, 1, name)
  }
})

t.test('a malformed hash is logged with the user id and without the hash', async t => {
  const msg = 'stored password hash is neither argon2id nor bcrypt, or too expensive to verify'

  for (const [name, one] of Object.entries(attempts)) {
    log.length = 0
    await attempt(one)

    if (one.reason === 'malformed-hash') {
      t.match(errorsLogged(), [{ level: 50, userId: `u-${one.username}`, msg }], name)
    }

    t.equal(errorsLogged().length, one.reason === 'malformed-hash' ? 1 : 0, name)
    const secrets = [...hashes, PASSWORD, 'nobody']
    t.strictSame(secrets.filter(secret => log.join('').includes(secret)), [], name)
  }
})
