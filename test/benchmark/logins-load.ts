// The load generator of the benchmark of logins. Connections that log in for ever are a closed loop: the next one begins when the
// last is answered. Probes of other routes come at random times whatever is under way (an open loop), so that an answer which
// takes long keeps none of those after it from being measured.

import { Agent, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { rateOf, serve } from './logins-process.js'
import { loginPath } from './logins-routes.js'
import type { Account, LoadOrder, LoadResult, Probe } from './logins-routes.js'

// Until the storm is one.
const WARM_UP = 500

const PROBES_A_SECOND = 200

class Load {
  readonly #port: number
  readonly #path: string
  #accounts: readonly Account[] = []
  // A connection each.
  readonly #agent = new Agent({ keepAlive: true })
  #isOver = false
  #next = 0

  constructor (port: number, path: string) {
    this.#port = port
    this.#path = path
  }

  async run ({ logins, probes, ms, accounts, cheap, warmUp = 0 }: LoadOrder): Promise<LoadResult> {
    const times: number[] = []
    this.#accounts = cheap
    await Promise.all(Array.from({ length: 16 }, async () => {
      while (this.#next < warmUp) {
        await this.#login()
      }
    }))
    this.#accounts = accounts
    const { id, token } = await this.#login()
    const storm = Promise.all(Array.from({ length: logins }, () => this.#logInOn(times)))
    await Promise.race([storm, sleep(WARM_UP)])
    const begin = performance.now()
    const found = []

    for (const probe of probes) {
      found.push(
        await this.#probe({ ...probe, expected: probe.expected.replace('{id}', id) }, token, ms)
      )
    }

    if (probes.length === 0) {
      await sleep(ms)
    }

    const end = performance.now()
    this.#isOver = true
    await storm
    this.#agent.destroy()

    return {
      logins: logins === 0 ? null : rateOf(times.filter(time => time >= begin && time <= end)),
      probes: found
    }
  }

  async #logInOn (times: number[]): Promise<void> {
    while (!this.#isOver) {
      await this.#login()
      times.push(performance.now())
    }
  }

  async #login (): Promise<{ id: string, token: string }> {
    const { username, password } = this.#accounts[this.#next++ % this.#accounts.length] as Account
    const { status, body } = await this.#send('POST', this.#path, {
      'content-type': 'application/json'
    }, JSON.stringify({ username, password }))

    if (status !== 200) {
      throw new Error(`A login was answered ${status}: ${body}`)
    }

    const { access_token: token, user } = JSON.parse(body)

    if (user.username !== username || typeof token !== 'string') {
      throw new Error(`A login was answered ${body}`)
    }

    return { id: user.id, token }
  }

  async #probe (
    { path, expected }: Probe,
    token: string,
    ms: number
  ): Promise<{ p50: number, p99: number }> {
    const latencies: number[] = []
    const sent: Array<Promise<void>> = []
    const headers = { authorization: `Bearer ${token}` }

    const ask = async (): Promise<void> => {
      const begin = performance.now()
      const { status, body } = await this.#send('GET', path, headers)
      latencies.push(performance.now() - begin)

      if (status !== 200 || body !== expected) {
        throw new Error(`${path} was answered ${status}: ${body}`)
      }
    }

    const end = performance.now() + ms

    while (performance.now() < end) {
      await sleep(-Math.log(1 - Math.random()) * 1000 / PROBES_A_SECOND)
      sent.push(ask())
    }

    await Promise.all(sent)
    latencies.sort((a, b) => a - b)
    const quantile = (part: number): number =>
      latencies[Math.ceil(part * latencies.length) - 1] as number
    return { p50: quantile(0.5), p99: quantile(0.99) }
  }

  #send (
    method: string,
    path: string,
    headers: Record<string, string>,
    body?: string
  ): Promise<{ status: number | undefined, body: string }> {
    return new Promise((resolve, reject) => {
      const sent = request({
        host: '127.0.0.1',
        port: this.#port,
        method,
        path,
        headers,
        agent: this.#agent
      }, response => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', chunk => {
          text += chunk
        })
        response.on('end', () => {
          resolve({ status: response.statusCode, body: text })
        })
        response.on('error', reject)
      })
      sent.on('error', reject)
      sent.end(body)
    })
  }
}

serve<LoadOrder>({}, order => new Load(order.port, order.path ?? loginPath).run(order))
