import t from 'tap'
import { createFaults } from '../../src/testing/index.js'
import { credentials, openClient } from '../client/world.js'
import { calm, COUNTER_URL, createCounter, send } from './counter.js'
import { createServers } from './virtual-server.js'

t.test('a killed tab has no effect and releases its locks', async t => {
  const faults = createFaults(calm)
  const device = faults.device()
  const [tab, other] = [device.open(), device.open()]
  const received: unknown[] = []
  const channel = other.platform.openChannel?.('a')

  if (channel) {
    channel.onmessage = ({ data }) => {
      received.push(data)
    }
  }

  const ownChannel = tab.platform.openChannel?.('a')
  ownChannel?.postMessage({ first: true })
  await faults.clock.run(50)
  t.strictSame(received, [{ first: true }])

  const { signal } = new AbortController()
  void tab.platform.locks?.request('lock', { signal }, () => new Promise(() => {}))
  let isGranted = false
  void other.platform.locks?.request('lock', { signal }, async () => {
    isGranted = true
  })
  await faults.clock.run(50)
  t.notOk(isGranted)

  let hasSettled = false

  const settle = (): void => {
    hasSettled = true
  }

  void tab.storage.set('token').then(settle)
  void tab.platform.sleep(10, signal).then(settle)
  void tab.wrap(createCounter(faults).send)(COUNTER_URL).then(settle)
  tab.kill()
  tab.kill()
  tab.platform.flags?.setItem('flag', 'on')
  ownChannel?.postMessage({ second: true })
  void tab.wrap(createCounter(faults).send)(COUNTER_URL).then(settle)
  await faults.clock.run(1000)
  t.notOk(hasSettled)
  t.ok(isGranted)
  t.equal(device.stored, null)
  t.equal(device.flags.size, 0)
  t.equal(received.length, 1)
  t.equal(faults.log.filter(({ event }) => event === 'killed').length, 1)
})

t.test('cookies, flags and the stored token survive a tab', async t => {
  const faults = createFaults(calm)
  const device = faults.device()
  const tab = device.open()
  await faults.clock.until(tab.storage.set('token'))
  tab.platform.flags?.setItem('flag', 'on')
  await send(faults, tab.wrap(createCounter(faults).send), { credentials: 'include' })
  tab.kill()
  const next = device.open({ locks: 'none', channels: 'none' })
  t.equal(await faults.clock.until(next.storage.get()), 'token')
  t.equal(next.platform.flags?.getItem('flag'), 'on')
  t.strictSame([next.platform.locks, next.platform.openChannel], [null, null])
  t.equal(faults.device().stored, null, 'another device has no token')
})

t.test('cookies go to their origin only, until they expire or are deleted', async t => {
  const faults = createFaults(calm)
  const device = faults.device()
  const tab = device.open()
  const { send: server } = createCounter(faults)
  const cookieHeaders: Array<string | null> = []

  const spy: typeof fetch = async (_input, init) => {
    cookieHeaders.push(new Headers(init?.headers).get('cookie'))
    return new Response('')
  }

  await send(faults, tab.wrap(server), { credentials: 'include' })
  await send(faults, tab.wrap(spy), { credentials: 'include' })
  await send(faults, tab.wrap(spy))
  await faults.clock.until(tab.wrap(spy)('https://elsewhere.test', { credentials: 'include' }))
  await faults.clock.run(60_000)
  await send(faults, tab.wrap(spy), { credentials: 'include' })
  t.strictSame(cookieHeaders, ['count=1', null, null, null])

  await send(faults, tab.wrap(server), { credentials: 'include' })
  t.strictSame([...device.cookies.entries()], [['count', '2']])
  device.cookies.delete('other')
  device.cookies.delete('count')
  t.equal(device.cookies.entries().size, 0)
})

t.test('broken browser APIs throw', async t => {
  const { platform } = createFaults().device().open({
    locks: 'broken',
    channels: 'broken',
    flags: 'broken'
  })
  const { signal } = new AbortController()
  const error = { name: 'SecurityError' }
  t.throws(() => platform.locks?.request('lock', { signal }, () => undefined), error)
  t.throws(() => platform.openChannel?.('a'), error)
  t.throws(() => platform.flags?.getItem('a'), error)
  t.throws(() => platform.flags?.setItem('a', 'b'), error)
  t.throws(() => platform.flags?.removeItem('a'), error)
})

t.test('a stuck lock is not granted until its request is aborted', async t => {
  const { platform } = createFaults().device().open({ locks: 'stuck' })
  const abort = new AbortController()
  const request = platform.locks?.request('lock', { signal: abort.signal }, () => undefined)
  const aborted = t.rejects(request as Promise<unknown>, { name: 'AbortError' })
  abort.abort()
  await aborted
})

t.test('a storage fault sees each operation and can replace it', async t => {
  const faults = createFaults(calm)
  const device = faults.device()
  const { storage } = device.open()
  const operations: string[] = []

  device.storageFault = async (operation, proceed) => {
    operations.push(operation)

    if (operation === 'set') {
      throw new Error('locked')
    }

    return proceed()
  }

  await t.rejects(faults.clock.until(storage.set('token')), /locked/)
  t.equal(device.stored, null)
  device.storageFault = null
  await faults.clock.until(storage.set('token'))
  device.storageFault = async operation => operation
  t.equal(await faults.clock.until(storage.get()), 'get')
  await faults.clock.until(storage.remove())
  t.equal(device.stored, 'token')
  t.strictSame(operations, ['set'])
})

t.test('some tabs are killed before they have stored a received token, and some after', async t => {
  const servers = createServers()
  t.teardown(() => servers.close())
  const outcomes = new Set<boolean>()

  for (let seed = 1; seed <= 20; seed++) {
    const faults = createFaults({ seed, ...calm })
    const server = await servers.open(
      { renews: false, usesAccessCookie: false, isRemote: false },
      faults.clock.time
    )
    const device = faults.device()
    const tab = device.open()
    const client = openClient(tab, { storage: 'keychain', fetch: tab.wrap(server.send) })
    faults.next('kill', '/login')
    void client.login(credentials())
    await faults.clock.run(1000)
    t.notOk(tab.isAlive)
    t.ok(server.app.events.some(({ name }) => name === 'login'))
    outcomes.add(device.stored !== null)
  }

  t.strictSame([...outcomes].sort(), [false, true])
})
