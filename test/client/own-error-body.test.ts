import t from 'tap'
import type { TokenAuthError } from '../../src/index.js'
import type { TestAppOptions } from '../helpers/app.js'
import { MINUTE } from '../helpers/clock.js'
import { createWorld, credentials, reply } from './world.js'

const CODE = 'AUTH_REFRESH_REVOKED'

/** Bodies of error handlers that apps have, for a status and a code. */
const bodies: Readonly<Record<string, (error: TokenAuthError) => unknown>> = {
  'an error object': ({ code, message }) => ({ error: { code, message } }),
  'a code of its own': ({ statusCode }) => ({ code: statusCode, message: 'no' }),
  'a string for the code': () => ({ code: 'E_UNAUTHORIZED' }),
  'a page': () => '<h1>no</h1>'
}

for (const [title, toBody] of Object.entries(bodies)) {
  t.test(`the client reads the code beside ${title}`, async t => {
    const own: TestAppOptions = {
      before: app =>
        app.setErrorHandler<TokenAuthError>((error, _request, reply) =>
          reply.code(error.statusCode).send(toBody(error))
        )
    }
    const world = await createWorld(t, own)
    const client = world.open()
    await t.rejects(world.until(client.login({ ...credentials(), password: 'wrong' })), {
      code: 'AUTH_CREDENTIALS_REJECTED',
      status: 401
    })
    await world.signIn(client)
    await world.server.app.tokenAuth.revokeUser('u-ann')
    world.skip(20 * MINUTE)
    const start = world.now()
    await t.rejects(world.until(client.fetch('/protected')), { code: 'signed-out' })
    t.match(client.state, { status: 'signed-out', reason: CODE })
    t.ok(world.now() - start < 1000, 'without retries')
  })
}

t.test('the code of the header counts if the body has another one', async t => {
  const world = await createWorld(t)
  const client = await world.openSignedIn()
  world.skip(20 * MINUTE)
  world.faults.next(
    () => reply(401, { code: 'AUTH_CREDENTIALS_REJECTED' }, { 'x-auth-error': CODE }),
    '/refresh'
  )
  await t.rejects(world.until(client.fetch('/protected')), { code: 'signed-out' })
  t.match(client.state, { status: 'signed-out', reason: CODE })
})

t.test('a header with an unknown code signs nobody out', async t => {
  const world = await createWorld(t)
  const client = await world.openSignedIn()
  world.skip(20 * MINUTE)
  world.faults.next(() => reply(401, 'no', { 'x-auth-error': 'revoked' }), '/refresh')
  t.equal((await world.until(client.fetch('/protected'))).status, 200)
  t.equal(client.state.status, 'signed-in')
})
