import { mock } from 'node:test'
import t from 'tap'
import type { Test } from 'tap'
import { ReconnectingListener } from '../../src/lib/reconnecting-listener.js'
import type { ListenerEvents } from '../../src/lib/reconnecting-listener.js'
import { SECOND } from '../helpers/clock.js'

type Behavior = 'works' | 'rejects' | 'hangs'

interface World {
  readonly listener: ReconnectingListener
  /** Events of the connections, in order. */
  readonly opened: ListenerEvents[]
  readonly log: string[]
  readonly causes: unknown[]
  subscribes: Behavior
  pings: Behavior
  messages: number
  closed: number
}

function behave (behavior: Behavior): Promise<void> {
  if (behavior === 'hangs') {
    return new Promise(() => {})
  }

  return behavior === 'works' ? Promise.resolve() : Promise.reject(new Error('refused'))
}

function createWorld (t: Test): World {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  const [opened, log, causes]: [ListenerEvents[], string[], unknown[]] = [[], [], []]
  const world: World = {
    opened,
    log,
    causes,
    subscribes: 'works',
    pings: 'works',
    messages: 0,
    closed: 0,
    listener: new ReconnectingListener({
      topic: 'prices',
      logger: {
        warn (facts, message) {
          log.push(`warn: ${message}`)
          causes.push((facts as { readonly cause: unknown }).cause)
        },
        info: (_facts, message) => log.push(`info: ${message}`)
      },
      onMessage: () => {
        world.messages++
      },
      open (events) {
        opened.push(events)

        return {
          subscribe: () => behave(world.subscribes),
          ping: () => behave(world.pings),
          close: () => {
            world.closed++
          }
        }
      }
    })
  }
  return world
}

async function advance (millis: number): Promise<void> {
  for (let passed = 0; passed < millis; passed += 100) {
    mock.timers.tick(100)
    await new Promise(resolve => {
      setImmediate(resolve)
    })
  }
}

const LOST = 'warn: no connection for pushed prices; prices are polled'
const BACK = 'info: connected for pushed prices'

t.test('a lost connection is replaced, and logged once', async t => {
  const world = createWorld(t)
  await world.listener.connect()
  t.equal(world.messages, 1, 'polls after it has connected')
  world.opened[0]?.onMessage()
  t.equal(world.messages, 2)

  world.subscribes = 'rejects'
  world.opened[0]?.onLost(new Error('terminated'))
  world.opened[0]?.onLost(new Error('terminated'))
  await advance(5 * SECOND)
  t.ok(world.opened.length > 3 && world.opened.length < 12, `${world.opened.length} attempts`)
  t.strictSame(world.log, [LOST])

  world.subscribes = 'works'
  await advance(2 * SECOND)
  t.strictSame(world.log, [LOST, BACK])
  t.equal(world.messages, 3, 'polls after it has connected again')
  t.equal(world.closed, world.opened.length - 1, 'all earlier connections are closed')
  world.opened[0]?.onMessage()
  t.equal(world.messages, 3, 'an earlier connection is ignored')
})

for (const behavior of ['hangs', 'rejects'] as const) {
  t.test(`a connection whose ping ${behavior} is replaced`, async t => {
    const world = createWorld(t)
    await world.listener.connect()
    await advance(10 * SECOND)
    t.equal(world.opened.length, 1)
    world.pings = behavior
    await advance(7 * SECOND)
    t.ok(world.opened.length > 1)
    t.match(world.log, [LOST, BACK])
    const message = behavior === 'hangs' ? 'no response' : undefined
    t.match(world.causes, [{ message }], 'only messages of this package are logged')
  })
}

t.test('a connect that hangs is given up', async t => {
  const world = createWorld(t)
  world.subscribes = 'hangs'
  const connected = world.listener.connect()
  await advance(SECOND)
  t.strictSame(world.log, [])
  world.subscribes = 'works'
  await advance(5 * SECOND)
  await connected
  t.strictSame(world.log, [LOST, BACK])
  t.equal(world.closed, 1)
})

t.test('close ends a reconnect', async t => {
  const world = createWorld(t)
  await world.listener.connect()
  world.opened[0]?.onLost(null)
  world.listener.close()
  await advance(10 * SECOND)
  t.equal(world.opened.length, 1)
  t.strictSame(world.log, [LOST])
})

t.test('close during a connect closes the new connection', async t => {
  const world = createWorld(t)
  const connecting = world.listener.connect()
  world.listener.close()
  await connecting
  t.equal(world.closed, 1)
  await advance(10 * SECOND)
  t.equal(world.opened.length, 1)
})
