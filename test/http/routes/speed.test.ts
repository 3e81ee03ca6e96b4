// Compares two operations in alternation, as medians of ratios, because CI machines are noisy.

import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { createTestApp } from '../../helpers/app.js'

const ROUNDS = 15

/** Returns the median ratio of the durations of the first and the second operation. */
async function ratio (first: () => unknown, second: () => unknown): Promise<number> {
  const ratios: number[] = []

  for (let round = -2; round < ROUNDS; round++) {
    const [a, b] = [await cost(first), await cost(second)]

    if (round >= 0) {
      ratios.push(a / b)
    }
  }

  return ratios.sort((a, b) => a - b)[ROUNDS >> 1] as number
}

async function cost (work: () => unknown): Promise<number> {
  const { user, system } = process.cpuUsage()
  await work()
  const used = process.cpuUsage({ user, system })
  return used.user + used.system
}

async function times (count: number, work: (i: number) => Promise<unknown>): Promise<void> {
  for (let i = 0; i < count; i++) {
    await work(i)
  }
}

t.test('a cached token is looked up without a verification', async t => {
  const { app, login } = await createTestApp()
  t.teardown(() => app.close())
  const { access_token: token } = await login()
  const request = (authorization: string): never =>
    ({
      routeOptions: { config: {} },
      headers: { authorization },
      raw: { rawHeaders: ['Authorization', authorization] },
      auth: null
    }) as never
  const authenticate = (authorization: string): void =>
    app.authenticate(request(authorization), null as never, () => {})
  const forged = `${token.slice(0, -2)}${token.endsWith('A') ? 'BA' : 'AA'}`
  const found = await ratio(
    () => {
      for (let i = 0; i < 20_000; i++) {
        authenticate(`Bearer ${token}`)
      }
    },
    () => {
      for (let i = 0; i < 2000; i++) {
        authenticate(`Bearer ${forged}`)
      }
    }
  )
  t.ok(
    found / 10 < 0.15,
    `a good one takes ${(found / 10).toFixed(3)} of one that has to be verified`
  )
})

t.test('a refresh takes a small multiple of the time of an empty route', async t => {
  const { app, login, refresh } = await createTestApp({ options: { refreshToken: { grace: 0 } } })
  const bare: FastifyInstance = Fastify()
  t.teardown(() => Promise.all([app.close(), bare.close()]))
  let tokens = await login()
  bare.post('/refresh', async () => tokens)
  const found = await ratio(
    () =>
      times(200, async () => {
        const response = await refresh(tokens.refresh_token)

        if (response.statusCode !== 200) {
          throw new Error(response.body)
        }

        tokens = response.json()
      }),
    () =>
      times(
        200,
        () =>
          bare.inject({
            method: 'POST',
            url: '/refresh',
            payload: { refresh_token: tokens.refresh_token }
          })
      )
  )
  t.ok(found < 5, `${found.toFixed(1)} times`)
})
