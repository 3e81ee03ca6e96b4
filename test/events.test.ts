import { channel } from 'node:diagnostics_channel'
import t from 'tap'
import type { Test } from 'tap'
import { Events } from '../src/events.js'
import type { EventMembers, Logger, TokenAuthListeners } from '../src/events.js'

const LOGIN: EventMembers['login'] = {
  at: 1,
  sessionId: 's1',
  userId: 'u-ann',
  address: '192.0.2.1',
  userAgent: 'Ann/1.0'
}
const SWEEP: EventMembers['sweep'] = { at: 2, deleted: 3, took: 4 }
const LOGIN_EVENT = { realm: 'staff', actor: 'client', ...LOGIN }
const SWEEP_EVENT = { realm: 'staff', actor: 'plugin', ...SWEEP }

interface TestEvents {
  readonly events: Events
  readonly logged: Array<{ level: string, facts: object, message: string }>
}

function eventsFor (listeners: TokenAuthListeners): TestEvents {
  const logged: TestEvents['logged'] = []

  const at = (level: string) => (facts: object, message: string) => {
    logged.push({ level, facts, message })
  }

  const logger: Logger = { error: at('error'), warn: at('warn'), info: at('info') }
  return { events: new Events(listeners, logger, 'staff'), logged }
}

function subscribe (t: Test, name: string): unknown[][] {
  const received: unknown[][] = []

  const listener = (...message: unknown[]): void => {
    received.push(message)
  }

  channel(name).subscribe(listener)
  t.teardown(() => channel(name).unsubscribe(listener))
  return received
}

const settled = (): Promise<void> =>
  new Promise(resolve => {
    setImmediate(resolve)
  })

t.test('emit calls the listener of the event immediately and no other', async t => {
  const logins: unknown[] = []
  const sweeps: unknown[] = []
  const { events, logged } = eventsFor({
    login: event => logins.push(event),
    sweep: event => sweeps.push(event)
  })
  events.emit('login', LOGIN)
  t.strictSame([logins, sweeps], [[LOGIN_EVENT], []])
  events.emit('sweep', SWEEP)
  t.strictSame([logins, sweeps], [[LOGIN_EVENT], [SWEEP_EVENT]])
  await settled()
  t.strictSame(logged, [])
})

t.test('every event names its realm and actor, and the given members stay unchanged', async t => {
  const received: unknown[] = []
  const { events } = eventsFor({ 'clock-skew': event => received.push(event) })
  const members = { at: 5, source: 'store', ahead: -7 } as const
  events.emit('clock-skew', members)
  t.strictSame(received, [
    { realm: 'staff', actor: 'plugin', at: 5, source: 'store', ahead: -7 }
  ])
  t.strictSame(members, { at: 5, source: 'store', ahead: -7 })
})

t.test('the members of an event may name another actor', async t => {
  const received: unknown[] = []
  const { events } = eventsFor({ login: event => received.push(event) })
  events.emit('login', { ...LOGIN, actor: 'app' })
  t.strictSame(received, [{ ...LOGIN_EVENT, actor: 'app' }])
})

t.test('a listener is called as a method of the options', async t => {
  const listeners = {
    received: 0,
    login () {
      this.received++
    }
  }
  eventsFor(listeners).events.emit('login', LOGIN)
  t.equal(listeners.received, 1)
})

t.test('emit does nothing without a listener', async t => {
  const { events, logged } = eventsFor({})
  t.doesNotThrow(() => events.emit('login', LOGIN))
  await settled()
  t.strictSame(logged, [])
})

t.test('each event is published to the diagnostics channel of its name', async t => {
  const logins = subscribe(t, 'fastify-token-auth:login')
  const sweeps = subscribe(t, 'fastify-token-auth:sweep')
  const { events } = eventsFor({})
  events.emit('login', LOGIN)
  t.strictSame(logins, [[LOGIN_EVENT, 'fastify-token-auth:login']])
  t.strictSame(sweeps, [])
  events.emit('sweep', SWEEP)
  t.strictSame(sweeps, [[SWEEP_EVENT, 'fastify-token-auth:sweep']])
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
  t.test(`a listener that ${how} is logged and has no other effect`, async t => {
    const received = subscribe(t, 'fastify-token-auth:login')
    const sweeps: unknown[] = []
    const error = new Error('the app\'s mail server is down')
    const { events, logged } = eventsFor({
      login: () => fail(error),
      sweep: event => sweeps.push(event)
    })
    t.doesNotThrow(() => events.emit('login', LOGIN))
    events.emit('sweep', SWEEP)
    t.strictSame(sweeps, [SWEEP_EVENT], 'the next event is emitted')
    t.equal(received.length, 1, 'the diagnostics channel gets the event')
    await settled()
    await settled()
    t.equal(logged.length, 1)
    t.match(logged[0], {
      level: 'error',
      message: 'event listener failed',
      facts: {
        event: 'login',
        cause: { type: 'Error', message: 'the app\'s mail server is down', stack: /events.test/ }
      }
    })
  })
}

t.test('emit does not wait for a slow listener', async t => {
  const received: string[] = []
  const { events } = eventsFor({
    login: async () => {
      await settled()
      received.push('login')
    },
    sweep: () => received.push('sweep')
  })
  events.emit('login', LOGIN)
  events.emit('sweep', SWEEP)
  t.strictSame(received, ['sweep'])
  await settled()
  await settled()
  t.strictSame(received, ['sweep', 'login'])
})

const CALLER = { address: '192.0.2.1', userAgent: 'Ann/1.0' }
const SESSION = { at: 1, sessionId: 's1', userId: 'u-ann', ...CALLER }
const USE = { at: 1, generation: 3, ...CALLER }
const warned: { readonly [Name in keyof EventMembers]?: EventMembers[Name] } = {
  reuse: { ...SESSION, presented: USE, rotated: USE },
  'suspicious-replay': { ...SESSION, presented: USE, rotated: USE, revoked: false },
  'store-rolled-back': { ...SESSION, presented: 3, stored: 1 },
  'session-missing': SESSION,
  'sync-ignored': { at: 1, clientId: 'orders', count: 2, ...CALLER },
  'revocations-stalled': { at: 1, since: 0 },
  'clock-skew': { at: 1, source: 'instance', ahead: 2000 }
}

for (const [name, members] of Object.entries(warned) as Array<['reuse', EventMembers['reuse']]>) {
  t.test(`${name} is logged with its members if it has no listener`, async t => {
    subscribe(t, `fastify-token-auth:${name}`)
    const { events, logged } = eventsFor({ login: () => {} })
    events.emit(name, members)
    t.match(logged, [{ level: 'warn', facts: { event: name, realm: 'staff', ...members } }])
    t.type(logged[0]?.message, 'string')
    t.equal(Object.keys(logged[0]?.facts ?? {}).includes('skipped'), false)
  })

  t.test(`${name} is not logged if it has a listener`, async t => {
    const { events, logged } = eventsFor({ [name]: () => {} })
    events.emit(name, members)
    await settled()
    t.strictSame(logged, [])
  })
}

t.test('at most 10 warnings of an event are logged in 10 seconds', async t => {
  const { events, logged } = eventsFor({})

  for (let i = 0; i < 1000; i++) {
    events.emit('session-missing', SESSION)
  }

  t.equal(logged.length, 10)
  events.emit('clock-skew', { at: 1, source: 'store', ahead: 2000 })
  t.equal(logged.length, 11, 'another event has its own limit')
})
