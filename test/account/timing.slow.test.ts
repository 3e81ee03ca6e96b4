// 200 requests for a known and an unknown address each, over a socket, mails included. The ranks of
// their times must not differ. A rank test separates equal kinds once in 100 runs by chance, so it
// is repeated at most twice. Chance alone fails one run in a million.

import t from 'tap'
import { getMedian, mannWhitney, shuffled } from '../helpers/statistics.js'
import { createAccountApp, EMAIL } from './account-app.js'

const SAMPLES = 200
const WARM_UP = 30
const ATTEMPTS = 3
// Two-tailed p = 0.01 of a normal distribution.
const MAX_DEVIATION = 2.576
// Both addresses have one length.
const UNKNOWN = 'zoe@example.org'

interface Answer {
  readonly status: number
  readonly body: string
  readonly time: number
}

t.setTimeout(300_000)

for (const path of ['/auth/password/forgot', '/auth/sign-in/link', '/auth/sign-in/code']) {
  t.test(`${path} takes as long for an unknown address as for a known one [75]`, async t => {
    const { app, mails } = await createAccountApp(t, {
      flows: { sendLimits: { account: false, address: false } }
    })
    const origin = await app.listen({ host: '127.0.0.1', port: 0 })

    const send = async (email: string): Promise<Answer> => {
      const before = performance.now()
      const response = await fetch(origin + path, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ email })
      })
      const time = performance.now() - before
      return { status: response.status, body: await response.text(), time }
    }

    const measure = async (rounds: number): Promise<Map<string, Answer[]>> => {
      const answers = new Map<string, Answer[]>([[EMAIL, []], [UNKNOWN, []]])

      for (let round = 0; round < rounds; round++) {
        for (const email of shuffled([...answers.keys()])) {
          answers.get(email)?.push(await send(email))
        }
      }

      return answers
    }

    await measure(WARM_UP)
    const deviations: number[] = []

    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const answers = await measure(SAMPLES)
      const [known, unknown] = [answers.get(EMAIL) ?? [], answers.get(UNKNOWN) ?? []]
      const times = [known, unknown].map(list => list.map(({ time }) => time)) as [
        number[],
        number[]
      ]
      const deviation = mannWhitney(...times)
      deviations.push(deviation)
      t.same(new Set([...known, ...unknown].map(({ status }) => status)), new Set([202]))
      t.equal(new Set([...known, ...unknown].map(({ body }) => body.length)).size, 1)
      t.comment(`medians ${times.map(list => getMedian(list).toFixed(3)).join(' and ')} ms`)

      if (Math.abs(deviation) < MAX_DEVIATION) {
        break
      }
    }

    t.ok(Math.abs(deviations.at(-1) as number) < MAX_DEVIATION, `deviations ${deviations}`)
    t.ok(mails.length >= SAMPLES)
    t.equal(mails.every(({ to }) => to === EMAIL), true)
  })
}
