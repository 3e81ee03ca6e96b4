import { channel } from 'node:diagnostics_channel'
import t from 'tap'
import type { Test } from 'tap'
import { Events } from '../src/events.js'
import type { Logger, TokenAuthEvents, TokenAuthListeners } from '../src/events.js'

const LOGIN: TokenAuthEvents['login'] = {
  at: 1,
  sessionId: 's1',
  userId: 'u-ann',
  address: '192.0.2.1',
  userAgent: 'Ann/1.0'
}
const SWEEP: TokenAuthEvents['sweep'] = { at: 2, deleted: 3, took: 4 }

interface Told {
  readonly events: Events
  readonly logged: Array<{ level: string, facts: object, message: string }>
}

function eventsFor (listeners: TokenAuthListeners): Told {
  const logged: Told['logged'] = []

  const at = (level: string) => (facts: object, message: string) => {
    logged.push({ level, facts, message })
  }

  const logger: Logger = { error: at('error'), warn: at('warn'), info: at('info') }
  return { events: new Events(listeners, logger), logged }
}

function subscribe (t: Test, name: string): unknown[][] {
  const heard: unknown[][] = []

  const listener = (...message: unknown[]): void => {
    heard.push(message)
  }

  channel(name).subscribe(listener)
  t.teardown(() => channel(name).unsubscribe(listener))
  return heard
}

const settled = (): Promise<void> =>
  new Promise(resolve => {
    setImmediate(resolve)
  })

t.test('a listener is told at once, of its own event alone', async t => {
  const logins: unknown[] = []
  const sweeps: unknown[] = []
  const { events, logged } = eventsFor({
    login: event => logins.push(event),
    sweep: event => sweeps.push(event)
  })
  events.emit('login', LOGIN)
  t.strictSame([logins, sweeps], [[LOGIN], []])
  events.emit('sweep', SWEEP)
  t.strictSame([logins, sweeps], [[LOGIN], [SWEEP]])
  await settled()
  t.strictSame(logged, [])
})

t.test('a listener may use its `this`', async t => {
  const listeners = {
    heard: 0,
    login () {
      this.heard++
    }
  }
  eventsFor(listeners).events.emit('login', LOGIN)
  t.equal(listeners.heard, 1)
})

t.test('without a listener nothing happens', async t => {
  const { events, logged } = eventsFor({})
  t.doesNotThrow(() => events.emit('login', LOGIN))
  await settled()
  t.strictSame(logged, [])
})

t.test('each event goes to the diagnostics channel of its name', async t => {
  const logins = subscribe(t, 'fastify-token-auth:login')
  const sweeps = subscribe(t, 'fastify-token-auth:sweep')
  const { events } = eventsFor({})
  events.emit('login', LOGIN)
  t.strictSame(logins, [[LOGIN, 'fastify-token-auth:login']])
  t.strictSame(sweeps, [])
  events.emit('sweep', SWEEP)
  t.strictSame(sweeps, [[SWEEP, 'fastify-token-auth:sweep']])
})

const failures: Record<string, (error: Error) => unknown> = {
  throws: error => {
    throw error
  },
  rejects: error => Promise.reject(error),
  'rejects later': async error => {
    await settled()
    throw error
  }
}

for (const [how, fail] of Object.entries(failures)) {
  t.test(`a listener that ${how} is logged and changes nothing`, async t => {
    const heard = subscribe(t, 'fastify-token-auth:login')
    const sweeps: unknown[] = []
    const error = new Error('the app\'s mail server is down')
    const { events, logged } = eventsFor({
      login: () => fail(error),
      sweep: event => sweeps.push(event)
    })
    t.doesNotThrow(() => events.emit('login', LOGIN))
    events.emit('sweep', SWEEP)
    t.strictSame(sweeps, [SWEEP], 'the next event is told')
    t.equal(heard.length, 1, 'the diagnostics channel is told')
    await settled()
    await settled()
    t.equal(logged.length, 1)
    t.match(logged[0], {
      level: 'error',
      message: 'event listener failed',
      facts: { event: 'login' }
    })
    t.equal((logged[0]?.facts as { err: unknown }).err, error)
  })
}

t.test('a slow listener keeps nobody waiting', async t => {
  const heard: string[] = []
  const { events } = eventsFor({
    login: async () => {
      await settled()
      heard.push('login')
    },
    sweep: () => heard.push('sweep')
  })
  events.emit('login', LOGIN)
  events.emit('sweep', SWEEP)
  t.strictSame(heard, ['sweep'])
  await settled()
  await settled()
  t.strictSame(heard, ['sweep', 'login'])
})
