import t from 'tap'
import { databases } from '../helpers/databases/index.js'
import { getCode, open } from './second-factor-app.js'
import type { FactorApp } from './second-factor-app.js'

const REQUESTS = 64

for (const [name, database] of Object.entries(databases)) {
  if (name === 'memory' || name === 'sqlite') {
    continue
  }

  t.test(`64 requests with one TOTP code on two instances open one session: ${name}`, {
    skip: database.skip ?? false
  }, async t => {
    const { store, again, attempts } = await database.open(t)
    const start = (instanceStore: typeof store): Promise<FactorApp> =>
      open(t, {
        clock: undefined,
        revocations: {},
        storeTimeout: '5s',
        throttle: { attempts: attempts(), address: false }
      } as never, { store: instanceStore })
    const instances = [await start(store), await start(again())] as const
    // Several tickets, because one alone lets few requests through.
    const tickets = await Promise.all(Array.from({ length: 8 }, () => instances[0].ticket()))
    const code = getCode(Date.now())
    const responses = await Promise.all(
      Array.from({ length: REQUESTS }, (_, i) =>
        (instances[i % 2] as FactorApp).second({
          ticket: tickets[i % tickets.length],
          method: 'totp',
          code
        }))
    )
    const opened = responses.filter(({ statusCode }) => statusCode === 200)
    t.equal(opened.length, 1)
    t.equal((await instances[1].app.tokenAuth.listSessions('u-ann')).length, 1)
    const codes = new Set(responses.map(response => response.json().code))
    codes.delete(undefined)

    for (const each of codes) {
      t.ok(
        ['AUTH_SECOND_FACTOR_REJECTED', 'AUTH_ONE_TIME_USED', 'AUTH_TOO_MANY_ATTEMPTS']
          .includes(each),
        each
      )
    }
  })
}
