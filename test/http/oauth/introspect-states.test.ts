import t from 'tap'
import type { TokenAuthOptions } from '../../../src/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { SECRET } from '../../helpers/app.js'
import { createClock, DAY, HOUR, MINUTE, SECOND } from '../../helpers/clock.js'
import { until } from '../instances/instances-setup.js'
import { createOAuthApp } from './demo.js'
import type { OAuthApp } from './demo.js'
import { asOrders, inspect, ORDERS, OTHER_SECRET } from './introspection.js'

// Introspection and use of a token must agree in every state of the session (requirement 30).
interface Tokens {
  readonly access: string
  readonly refresh: string
}

interface State {
  readonly what: string
  readonly options?: Partial<TokenAuthOptions>
  /** Creates the state and returns the tokens to inspect. */
  prepare(one: OAuthApp, two: OAuthApp, poll: () => Promise<void>): Promise<Tokens>
}

async function rotate (app: OAuthApp, token: string): Promise<Tokens> {
  const { access_token: access, refresh_token: refresh } = (await app.refreshAs(token, asOrders))
    .json()
  return { access, refresh }
}

const states: readonly State[] = [
  { what: 'new', prepare: async one => one.signIn('orders') },
  { what: 'new, at the other instance', prepare: async (_one, two) => two.signIn('orders') },
  {
    what: 'rotated a moment ago',
    async prepare (one) {
      const first = await one.signIn('orders')
      await rotate(one, first.refresh)
      return first
    }
  },
  {
    what: 'rotated, the next one',
    prepare: async one => rotate(one, (await one.signIn('orders')).refresh)
  },
  {
    what: 'rotated a while ago, and nobody has seen the next one',
    async prepare (one) {
      const first = await one.signIn('orders')
      await rotate(one, first.refresh)
      one.clock.advance(MINUTE)
      return first
    }
  },
  {
    what: 'rotated a while ago, and the next access token was used, here',
    async prepare (one) {
      const first = await one.signIn('orders')
      const second = await rotate(one, first.refresh)
      one.clock.advance(MINUTE)
      await one.get('/protected', second.access)
      return first
    }
  },
  {
    what: 'rotated a while ago, and the next refresh token was used, at the other instance',
    async prepare (one, two) {
      const first = await one.signIn('orders')
      const second = await rotate(one, first.refresh)
      one.clock.advance(MINUTE)
      await rotate(two, second.refresh)
      return first
    }
  },
  {
    what:
      'the answer was lost, asked for again a moment ago, and the next access token was used since',
    async prepare (one) {
      const first = await one.signIn('orders')
      await rotate(one, first.refresh)
      one.clock.advance(MINUTE)
      const again = await rotate(one, first.refresh)
      await one.get('/protected', again.access)
      return first
    }
  },
  {
    what: 'without rotation, refreshed',
    options: { rotation: false },
    async prepare (one) {
      const first = await one.signIn('orders')
      await rotate(one, first.refresh)
      one.clock.advance(MINUTE)
      return first
    }
  },
  {
    what: 'a moment before the access token ends',
    async prepare (one) {
      const tokens = await one.signIn('orders')
      one.clock.advance(15 * MINUTE - 1)
      return tokens
    }
  },
  {
    what: 'the moment that the access token ends',
    async prepare (one) {
      const tokens = await one.signIn('orders')
      one.clock.advance(15 * MINUTE)
      return tokens
    }
  },
  {
    what: 'a moment before the refresh token ends',
    async prepare (one) {
      const tokens = await one.signIn('orders')
      one.clock.advance(7 * DAY - 1)
      return tokens
    }
  },
  {
    what: 'the moment that the refresh token ends',
    async prepare (one) {
      const tokens = await one.signIn('orders')
      one.clock.advance(7 * DAY)
      return tokens
    }
  },
  {
    what: 'from the future',
    async prepare (one) {
      one.clock.advance(HOUR)
      const tokens = await one.signIn('orders')
      one.clock.advance(-HOUR)
      return tokens
    }
  },
  {
    what: 'revoked here',
    async prepare (one, _two, poll) {
      const tokens = await one.signIn('orders')
      await one.send('/auth/revoke', { token: tokens.refresh }, ORDERS)
      await poll()
      return tokens
    }
  },
  {
    what: 'revoked at the other instance',
    async prepare (one, two, poll) {
      const tokens = await one.signIn('orders')
      await two.send('/auth/revoke', { token: tokens.access }, ORDERS)
      await poll()
      return tokens
    }
  },
  {
    what: 'logged out',
    async prepare (one, two, poll) {
      const tokens = await one.signIn('orders')
      await two.post('/auth/logout', { refresh_token: tokens.refresh })
      await poll()
      return tokens
    }
  },
  {
    what: 'the user logged out everywhere',
    async prepare (one, two, poll) {
      const tokens = await one.signIn('orders')
      const own = await two.signIn(null)
      one.clock.advance(SECOND)
      await two.post('/auth/logout/all', undefined, { authorization: `Bearer ${own.access}` })
      await poll()
      return tokens
    }
  },
  {
    what: 'ended by a reuse',
    async prepare (one, two, poll) {
      const first = await one.signIn('orders')
      const second = await rotate(one, first.refresh)
      one.clock.advance(MINUTE)
      const third = await rotate(two, second.refresh)
      await rotate(one, first.refresh)
      await poll()
      return third
    }
  },
  {
    what: 'under a secret that was replaced',
    async prepare (one) {
      const before = await createOAuthApp(t, {
        clock: one.clock,
        store: one.store,
        options: { secret: OTHER_SECRET }
      })
      return before.signIn('orders')
    },
    options: { secret: [SECRET, OTHER_SECRET] }
  },
  {
    what: 'under a secret that is known no more',
    async prepare (one) {
      const before = await createOAuthApp(t, {
        clock: one.clock,
        store: one.store,
        options: { secret: OTHER_SECRET }
      })
      return before.signIn('orders')
    }
  }
]

for (const { what, options, prepare } of states) {
  t.test(`introspection agrees with the use of the token: ${what}`, async t => {
    for (const asked of [0, 1] as const) {
      const polls: Array<() => void> = []

      const wake = (poll: () => void): () => void => {
        polls.push(poll)

        return () => {}
      }

      const store = new MemoryStore()
      const read = store.revocations.bind(store)
      let reads = 0

      store.revocations = (after, limit) => {
        reads++
        return read(after, limit)
      }

      const clock = createClock()
      const given = {
        store,
        clock,
        options: { revocations: { pollInterval: '60s', subscribe: wake } as const, ...options }
      }
      const instances = [await createOAuthApp(t, given), await createOAuthApp(t, given)] as const
      const tokens = await prepare(...instances, async () => {
        const expected = reads + polls.length

        for (const poll of polls) {
          poll()
        }

        await until(() => reads >= expected)
        await new Promise(resolve => setImmediate(resolve))
      })
      const at = instances[asked]
      const says = {
        access: (await inspect(t, at, tokens.access)).answer.active,
        refresh: (await inspect(t, at, tokens.refresh)).answer.active
      }
      const does = {
        access: (await at.get('/protected', tokens.access)).statusCode === 200,
        refresh: (await at.refreshAs(tokens.refresh, asOrders)).statusCode === 200
      }
      t.strictSame(says, does, `instance ${asked}`)
    }
  })
}
