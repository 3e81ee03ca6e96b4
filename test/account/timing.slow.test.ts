// 200 requests for a known and an unknown address each, over a socket, mails included. The ranks of
// their times must not differ. A rank test separates equal kinds once in 100 runs by chance, so it
// is repeated at most twice. Chance alone fails one run in a million.

import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import type { Test } from 'tap'
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

// In a thread of its own. In the thread of the server, the client would read a response only after
// the work that follows it.
const CLIENT = `
  const { parentPort, workerData: url } = require('node:worker_threads')
  parentPort.on('message', async emails => {
    const answers = []
    for (const email of emails) {
      const before = performance.now()
      const response = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ email })
      })
      const time = performance.now() - before
      answers.push({ status: response.status, body: await response.text(), time })
    }
    parentPort.postMessage(answers)
  })`

function startClient (t: Test, url: string): (emails: readonly string[]) => Promise<Answer[]> {
  const worker = new Worker(CLIENT, { eval: true, workerData: url })
  t.teardown(() => worker.terminate())

  return async emails => {
    worker.postMessage(emails)
    return (await once(worker, 'message'))[0] as Answer[]
  }
}

for (const path of ['/auth/password/forgot', '/auth/sign-in/link', '/auth/sign-in/code']) {
  t.test(`${path} takes as long for an unknown address as for a known one [75]`, async t => {
    const { app, mails } = await createAccountApp(t, {
      flows: { sendLimits: { account: false, address: false } }
    })
    const origin = await app.listen({ host: '127.0.0.1', port: 0 })

    const client = startClient(t, origin + path)

    const measure = async (rounds: number): Promise<Map<string, Answer[]>> => {
      const answers = new Map<string, Answer[]>([[EMAIL, []], [UNKNOWN, []]])
      const emails = Array.from({ length: rounds }, () => shuffled([...answers.keys()])).flat()

      for (const [i, answer] of (await client(emails)).entries()) {
        answers.get(emails[i] as string)?.push(answer)
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
