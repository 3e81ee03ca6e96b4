// The harness itself: each fault does what it says, and the same seed brings the same.

import t from 'tap'
import { createAuthClient } from '../../src/client/index.js'
import { createFaults, ScheduleError } from '../../src/testing/index.js'
import type { FaultKind, Faults } from '../../src/testing/index.js'
import { createServers } from './servers.js'
import { runSchedule } from './schedule-world.js'

const URL = 'https://app.test/things'

/** A server that counts, and knows when it was asked. */
function createCounter (
  faults: Faults
): { readonly send: typeof fetch, readonly askedAt: number[] } {
  const askedAt: number[] = []

  return {
    askedAt,
    async send () {
      askedAt.push(faults.clock.now())

      return new Response(`answer ${askedAt.length}`, {
        headers: { 'set-cookie': `count=${askedAt.length}; Path=/; Max-Age=60` }
      })
    }
  }
}

interface Result {
  /** The status, or the name of the error; `null` where nothing came. */
  readonly came: number | string | null
  readonly text: string
  readonly after: number
}

async function send (
  faults: Faults,
  wrapped: typeof fetch,
  init: RequestInit = {}
): Promise<Result> {
  const start = faults.clock.now()
  const result: Promise<Result> = wrapped(URL, init).then(
    async answer => ({
      came: answer.status,
      text: await answer.text(),
      after: faults.clock.now() - start
    }),
    (error: Error) => ({ came: error.name, text: error.message, after: faults.clock.now() - start })
  )

  return faults.clock.until(Promise.race([
    result,
    faults.clock.sleep(60_000).then(() => ({ came: null, text: '', after: 60_000 }))
  ]))
}

const calm = { rates: {}, latency: [10, 10] as const }

const kinds: ReadonlyArray<readonly [kind: FaultKind, came: Result['came'], asked: number]> = [
  ['unsent', 'TypeError', 0],
  ['drop', 'TypeError', 1],
  ['hang', null, 1],
  ['delay', 200, 1],
  ['duplicate', 200, 2],
  ['reorder', 200, 1],
  ['429', 429, 0],
  ['500', 500, 0],
  ['503', 503, 0],
  ['504', 504, 1],
  ['portal', 200, 0],
  ['kill', 200, 1]
]

for (const [kind, came, asked] of kinds) {
  t.test(kind, async t => {
    for (let seed = 1; seed <= 10; seed++) {
      const faults = createFaults({ seed, ...calm })
      const { send: server, askedAt } = createCounter(faults)
      const device = faults.device()
      const tab = device.open()
      faults.next(kind)
      const result = await send(faults, tab.wrap(server), { credentials: 'include' })
      await faults.clock.run(20_000)
      t.equal(result.came, came)
      t.equal(askedAt.length, asked, 'whether the server has acted')
      t.equal(tab.isAlive, kind !== 'kill')
      t.equal(
        device.cookies.entries().has('count'),
        typeof came === 'number' && asked > 0 && kind !== '504',
        'a browser keeps the cookies of answers that arrive'
      )
      t.equal(
        (await send(faults, device.open().wrap(server))).came,
        200,
        'the next request is not meant'
      )
      t.equal(
        faults.log.filter(({ what, fault }) => what === 'request' && fault === kind).length,
        1
      )

      if (kind === 'delay') {
        t.ok(result.after > 10 && result.after <= 10 + 5 * 4000, `${result.after} ms`)
      }

      if (kind === 'portal') {
        t.match(result.text, '<!doctype html>')
      }
    }
  })
}

t.test('a request that is overtaken', async t => {
  const faults = createFaults(calm)
  const { send: server } = createCounter(faults)
  const wrapped = faults.wrap(server)
  faults.next('reorder')
  const answers = await faults.clock.until(Promise.all([wrapped(URL), wrapped(URL)]))
  t.strictSame(await Promise.all(answers.map(answer => answer.text())), ['answer 2', 'answer 1'])
})

t.test('Retry-After is there to be obeyed', async t => {
  const faults = createFaults(calm)
  faults.next('429')
  const answer = await faults.clock.until(faults.wrap(createCounter(faults).send)(URL))
  t.match(answer.headers.get('retry-after'), /^([1-9]|[12]\d|30)$/)
})

t.test('by path, and by count', async t => {
  const faults = createFaults(calm)
  const wrapped = faults.wrap(createCounter(faults).send)
  faults.next('500', '/others')
  faults.next('500', '/things', 2)
  const came: unknown[] = []

  for (let i = 0; i < 3; i++) {
    came.push((await send(faults, wrapped)).came)
  }

  t.strictSame(came, [500, 500, 200])
})

t.test('offline, nothing gets through, and what was under way is lost', async t => {
  const faults = createFaults({ rates: {}, latency: [100, 100] })
  const { send: server, askedAt } = createCounter(faults)
  const wrapped = faults.wrap(server)
  const underWay = wrapped(URL)
  const lost = t.rejects(underWay, TypeError)
  await faults.clock.run(60)
  t.equal(askedAt.length, 1)
  faults.goOffline()
  await faults.clock.run(100)
  await lost
  t.equal((await send(faults, wrapped)).came, 'TypeError')
  t.equal(askedAt.length, 1)
  faults.goOnline()
  t.equal((await send(faults, wrapped)).came, 200)
  t.strictSame(faults.log.filter(({ who }) => who === 'network').map(({ what }) => what), [
    'offline',
    'online'
  ])
})

t.test('healed, nothing is by chance', async t => {
  const faults = createFaults({
    rates: { 500: 1 },
    only: (_method, url) => !url.endsWith('/spared')
  })
  const wrapped = faults.wrap(createCounter(faults).send)
  t.equal((await send(faults, wrapped)).came, 500)
  t.equal((await faults.clock.until(wrapped('https://app.test/spared'))).status, 200)
  faults.goOffline()
  faults.next('503')
  faults.heal()
  t.equal((await send(faults, wrapped)).came, 200)
  faults.resume()
  t.equal((await send(faults, wrapped)).came, 500)
})

t.test('a call that is given up', async t => {
  const faults = createFaults(calm)
  const { send: server, askedAt } = createCounter(faults)
  const wrapped = faults.wrap(server)
  const abort = new AbortController()
  const given = t.rejects(wrapped(URL, { signal: abort.signal }), { name: 'AbortError' })
  abort.abort()
  await given
  await faults.clock.run(100)
  t.equal(askedAt.length, 0, 'it had not left yet')
  await t.rejects(wrapped(URL, { signal: abort.signal }), { name: 'AbortError' })
})

t.test('time', async t => {
  const { clock } = createFaults({ start: 0 })
  const seen: string[] = []
  void clock.sleep(20).then(() => seen.push('20'))
  void clock.sleep(10).then(() => seen.push('10'))
  void clock.sleep(10).then(() => seen.push('10, later'))
  await clock.run(15)
  t.strictSame(seen, ['10', '10, later'])
  t.equal(clock.now(), 15)
  clock.suspend(1000)
  clock.suspend(500, false)
  clock.step(-60_000)
  t.strictSame([clock.now(), clock.time(), clock.date(), clock.slept()], [
    1015,
    1515,
    -58_485,
    1500
  ])
  await clock.run(0)
  t.equal(seen.length, 3, 'what was due comes late')
  await t.rejects(clock.until(new Promise(() => {}), 100), /100 ms/)
  await t.rejects(
    clock.until(
      clock.sleep(5).then(() => {
        throw new Error('mine')
      })
    ),
    /mine/
  )
  const abort = new AbortController()
  const woken = clock.sleep(1000, abort.signal)
  abort.abort()
  await woken
})

t.test('a machine that sleeps has no connections left', async t => {
  const faults = createFaults(calm)
  const lost = t.rejects(faults.wrap(createCounter(faults).send)(URL), TypeError)
  faults.clock.suspend(1000)
  await faults.clock.run(100)
  await lost
})

t.test('a tab that is killed has no effect any more', async t => {
  const faults = createFaults(calm)
  const device = faults.device()
  const [tab, other] = [device.open(), device.open()]
  const heard: unknown[] = []
  const channel = other.platform.openChannel?.('a')

  if (channel) {
    channel.onmessage = ({ data }) => {
      heard.push(data)
    }
  }

  const own = tab.platform.openChannel?.('a')
  own?.postMessage({ first: true })
  await faults.clock.run(50)
  t.strictSame(heard, [{ first: true }])

  const { locks } = tab.platform
  void locks?.request('lock', { signal: new AbortController().signal }, () => new Promise(() => {}))
  let isOpen = false
  void other.platform.locks?.request('lock', { signal: new AbortController().signal }, async () => {
    isOpen = true
  })
  await faults.clock.run(50)
  t.notOk(isOpen)

  let came = false
  void tab.storage.set('token').then(() => {
    came = true
  })
  void tab.platform.sleep(10, new AbortController().signal).then(() => {
    came = true
  })
  void tab.wrap(createCounter(faults).send)(URL).then(() => {
    came = true
  })
  tab.kill()
  tab.kill()
  tab.platform.flags?.setItem('flag', 'on')
  own?.postMessage({ second: true })
  void tab.wrap(createCounter(faults).send)(URL).then(() => {
    came = true
  })
  await faults.clock.run(1000)
  t.notOk(came)
  t.ok(isOpen, 'its locks are released')
  t.equal(device.stored, null)
  t.equal(device.flags.size, 0)
  t.equal(heard.length, 1)
  t.equal(faults.log.filter(({ what }) => what === 'killed').length, 1)
})

t.test('what a device keeps', async t => {
  const faults = createFaults(calm)
  const device = faults.device()
  const tab = device.open()
  await faults.clock.until(tab.storage.set('token'))
  tab.platform.flags?.setItem('flag', 'on')
  await send(faults, tab.wrap(createCounter(faults).send), { credentials: 'include' })
  tab.kill()
  const next = device.open({ locks: 'none', channels: false })
  t.equal(await faults.clock.until(next.storage.get()), 'token')
  t.equal(next.platform.flags?.getItem('flag'), 'on')
  t.strictSame([next.platform.locks, next.platform.openChannel], [null, null])
  const headers: Array<string | null> = []

  const spy: typeof fetch = async (_input, init) => {
    headers.push(new Headers(init?.headers).get('cookie'))
    return new Response('')
  }

  await send(faults, next.wrap(spy), { credentials: 'include' })
  await send(faults, next.wrap(spy))
  await faults.clock.until(next.wrap(spy)('https://elsewhere.test', { credentials: 'include' }))
  await faults.clock.run(60_000)
  await send(faults, next.wrap(spy), { credentials: 'include' })
  t.strictSame(headers, ['count=1', null, null, null], 'cookies go where they came from, and end')
  t.equal(faults.device().stored, null, 'another device has nothing of it')
})

t.test('between receive and persist', async t => {
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
    const client = createAuthClient({
      baseUrl: 'https://app.test',
      storage: tab.storage,
      fetch: tab.wrap(server.send),
      platform: tab.platform
    })
    faults.next('kill', '/login')
    void client.login({ username: 'ann', password: 'correct horse battery staple' })
    await faults.clock.run(1000)
    t.notOk(tab.isAlive)
    t.ok(server.app.events.some(({ name }) => name === 'login'))
    outcomes.add(device.stored !== null)
  }

  t.strictSame(
    [...outcomes].sort(),
    [false, true],
    'some tabs die before they have stored the token, and some after'
  )
})

t.test('a step that goes wrong can be had again', async t => {
  const run = async (): Promise<ScheduleError> => {
    const faults = createFaults({ seed: 5, ...calm })
    const wrapped = faults.wrap(createCounter(faults).send)
    let calls = 0
    const failure = await faults.schedule(
      {
        call: [2, () => {
          calls++
          return faults.clock.until(wrapped(URL))
        }],
        wait: [1, random => faults.clock.run(random.between(1, 1000))]
      },
      20,
      () => {
        if (calls > 5) {
          throw new Error('too many')
        }
      }
    ).catch((error: unknown) => error)
    return failure as ScheduleError
  }

  const [first, second] = [await run(), await run()]
  t.ok(first instanceof ScheduleError)
  t.match(
    first.message,
    /^too many\nseed 5, step \d+; replay it with createFaults\(\{ seed: 5 \}\)\n/
  )
  t.match(first.message, /GET https:\/\/app.test\/things/)
  t.match(first.cause, { message: 'too many' })
  t.equal(second.message, first.message)
  await t.rejects(
    createFaults().schedule({
      odd: [1, () => {
        throw 'a text'
      }]
    }, 1),
    /^a text/
  )
  await t.rejects(createFaults().step({}), TypeError)
})

t.test('the same seed, against a real server: the same to the millisecond', async t => {
  const servers = createServers()
  t.teardown(() => servers.close())

  for (const seed of [1, 2, 3, 4, 5]) {
    const [one, other] = [
      await runSchedule(seed, 60, servers),
      await runSchedule(seed, 60, servers)
    ]
    t.strictSame(other.faults.log, one.faults.log)
    t.ok(one.faults.log.length > 100)
  }
})

t.test('no token in the log', async t => {
  const servers = createServers()
  t.teardown(() => servers.close())
  const { faults } = await runSchedule(1, 60, servers)
  t.notMatch(JSON.stringify(faults.log), /eyJ/)
})
