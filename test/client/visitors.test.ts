import t from 'tap'
import { MINUTE } from '../helpers/clock.js'
import { createWorld } from './world.js'

t.test('a visitor does not wait for a refresh that hangs', async t => {
  const world = await createWorld(t)
  world.faults.next('hang', '/refresh')
  const client = world.open()
  const start = world.now()
  const response = await world.until(client.fetch('https://app.test/missing'))
  t.equal(response.status, 404)
  t.ok(world.now() - start < 100, `${world.now() - start} ms`)
  t.equal(client.state.status, 'starting')
})

t.test('a visitor whose cookie turns out to be valid is signed in for the call', async t => {
  const world = await createWorld(t)
  const before = world.open()
  await world.signIn(before)
  before.dispose()
  world.device.flags.clear()
  const client = world.open()
  t.equal((await world.until(client.fetch('/protected'))).status, 200)
  t.equal(world.count('/protected'), 2)
  t.match(client.state, { status: 'signed-in', user: { username: 'ann' } })
})

t.test('getAccessToken waits until it is certain whether a user is signed in', async t => {
  const world = await createWorld(t)
  const before = world.open()
  await world.signIn(before)
  before.dispose()
  world.device.flags.clear()
  t.type(await world.until(world.open().getAccessToken()), 'string')
})

t.test('a returning user is shown when the network is back', async t => {
  const world = await createWorld(t)
  const before = world.open()
  await world.signIn(before)
  before.dispose()
  world.faults.goOffline()
  const client = world.open()
  await world.until(client.ready)
  t.strictSame(client.state, { status: 'signed-in', user: null })
  await world.run(MINUTE)
  world.faults.goOnline()
  await world.run(1000)
  t.match(client.state, { status: 'signed-in', user: { username: 'ann' } })
})
