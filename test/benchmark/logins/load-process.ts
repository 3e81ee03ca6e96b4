/**
 * Process that logs users in, and calls other routes meanwhile.
 *
 * Connections that log in are a closed loop: each login starts after the response to the last one.
 * Probes are an open loop: they start at random times. So a slow response does not delay the
 * measurement of the next ones.
 *
 * @module
 */

import { Agent, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { handleCalls } from '../processes.js'
import { getRatePerSecond, LOGIN_PATH } from './shared.js'
import type { Account, LoginLoad, LoginLoadResult, Probe, ProbeLatency } from './shared.js'

/** Time until all connections log in, in milliseconds. */
const SETTLE_TIME = 500

const WARM_UP_CONNECTIONS = 16
const PROBES_PER_SECOND = 200

class LoadGenerator {
  readonly #port: number
  readonly #path: string
  /** Opens a connection for each concurrent request. */
  readonly #agent = new Agent({ keepAlive: true })
  #accounts: readonly Account[] = []
  #isStopped = false
  #loginCount = 0

  constructor (port: number, path: string) {
    this.#port = port
    this.#path = path
  }

  async run (
    { server, connections, probes, ms, warmUpLogins = 0 }: LoginLoad
  ): Promise<LoginLoadResult> {
    const times: number[] = []
    this.#accounts = server.cheapAccounts
    await Promise.all(Array.from({ length: WARM_UP_CONNECTIONS }, async () => {
      while (this.#loginCount < warmUpLogins) {
        await this.#logIn()
      }
    }))
    this.#accounts = server.accounts
    const { id, token } = await this.#logIn()
    const logins = Promise.all(
      Array.from({ length: connections }, () => this.#logInContinuously(times))
    )
    await Promise.race([logins, sleep(SETTLE_TIME)])
    const startTime = performance.now()
    const latencies: ProbeLatency[] = []

    for (const { path, expected } of probes) {
      const probe = { path, expected: expected.replace('{id}', id) }
      latencies.push(await this.#measureProbe(probe, token, ms))
    }

    if (probes.length === 0) {
      await sleep(ms)
    }

    const endTime = performance.now()
    this.#isStopped = true
    await logins
    this.#agent.destroy()
    const measuredTimes = times.filter(time => time >= startTime && time <= endTime)

    return {
      loginsPerSecond: connections === 0 ? null : getRatePerSecond(measuredTimes),
      probes: latencies
    }
  }

  async #logInContinuously (times: number[]): Promise<void> {
    while (!this.#isStopped) {
      await this.#logIn()
      times.push(performance.now())
    }
  }

  async #logIn (): Promise<{ id: string, token: string }> {
    const account = this.#accounts[this.#loginCount++ % this.#accounts.length] as Account
    const { username, password } = account
    const headers = { 'content-type': 'application/json' }
    const { status, body } = await this.#send(
      'POST',
      this.#path,
      headers,
      JSON.stringify({ username, password })
    )

    if (status !== 200) {
      throw new Error(`Login failed with ${status}: ${body}`)
    }

    const { access_token: token, user } = JSON.parse(body)

    if (user.username !== username || typeof token !== 'string') {
      throw new Error(`Login has an unexpected response: ${body}`)
    }

    return { id: user.id, token }
  }

  async #measureProbe (
    { path, expected }: Probe,
    token: string,
    ms: number
  ): Promise<ProbeLatency> {
    const latencies: number[] = []
    const requests: Array<Promise<void>> = []
    const headers = { authorization: `Bearer ${token}` }

    const callRoute = async (): Promise<void> => {
      const sentAt = performance.now()
      const { status, body } = await this.#send('GET', path, headers)
      latencies.push(performance.now() - sentAt)

      if (status !== 200 || body !== expected) {
        throw new Error(`${path} has an unexpected response, ${status}: ${body}`)
      }
    }

    const endTime = performance.now() + ms

    while (performance.now() < endTime) {
      await sleep(-Math.log(1 - Math.random()) * 1000 / PROBES_PER_SECOND)
      requests.push(callRoute())
    }

    await Promise.all(requests)
    latencies.sort((a, b) => a - b)
    const getQuantile = (quantile: number): number =>
      latencies[Math.ceil(quantile * latencies.length) - 1] as number
    return { p50: getQuantile(0.5), p99: getQuantile(0.99) }
  }

  #send (
    method: string,
    path: string,
    headers: Record<string, string>,
    body?: string
  ): Promise<{ status: number | undefined, body: string }> {
    return new Promise((resolve, reject) => {
      const outgoing = request({
        host: '127.0.0.1',
        port: this.#port,
        method,
        path,
        headers,
        agent: this.#agent
      }, response => {
        let received = ''
        response.setEncoding('utf8')
        response.on('data', chunk => {
          received += chunk
        })
        response.on('end', () => {
          resolve({ status: response.statusCode, body: received })
        })
        response.on('error', reject)
      })
      outgoing.on('error', reject)
      outgoing.end(body)
    })
  }
}

handleCalls({
  run: (load: LoginLoad) => new LoadGenerator(load.server.port, load.path ?? LOGIN_PATH).run(load)
})
