// An app with clients that refresh, each its own session, and with a sweep that can be held: so that one fill of ended
// sessions serves several rounds, in turns with rounds without a sweep.

import assert from 'node:assert/strict'
import { setImmediate as turn } from 'node:timers/promises'
import Fastify from 'fastify'
import { tokenAuth } from 'fastify-token-auth'
import type { TokenResponse, TokenStore } from 'fastify-token-auth'
import { secret } from '../../examples/shared/trial.js'
import { caller } from './fill.js'

const CLIENTS = 64

export interface RefreshRun {
  readonly perSecond: number
  /** Milliseconds that it lasted. */
  readonly took: number
}

export interface Refreshing {
  /** Refreshes by all clients at once, for that long, or until it need not go on. */
  refreshFor(ms: number, goesOn: () => boolean): Promise<RefreshRun>
  /** @returns How many were deleted. */
  sweepAll(): Promise<number>
  /** Begins a sweep that stands still; what it does while the work goes on is counted. */
  heldSweep(): HeldSweep
  close(): Promise<unknown>
}

export interface HeldSweep {
  during<T>(work: () => Promise<T>): Promise<{ readonly swept: number, readonly result: T }>
  isDone(): boolean
}

export async function refreshing (store: TokenStore): Promise<Refreshing> {
  const gate = new Gate()
  let swept = 0
  const gated: TokenStore = {
    create: session => store.create(session),
    rotate: attempt => store.rotate(attempt),
    find: id => store.find(id),
    list: (userId, page) => store.list(userId, page),
    revoke: (target, revocation) => store.revoke(target, revocation),
    touch: batch => store.touch(batch),
    revocations: (after, limit) => store.revocations(after, limit),
    async sweep (batch) {
      await gate.opened
      const count = await store.sweep(batch)
      swept += count
      return count
    }
  }

  const app = Fastify()
  await app.register(tokenAuth, {
    secret,
    store: gated,
    users: { findByLogin: () => null, findById: id => ({ id }) },
    // So that each refresh rotates, also the next one of a client that does not wait.
    refreshToken: { grace: 0 },
    sweep: false
  })
  app.post<{ Body: { user: string } }>(
    '/open',
    request => app.tokenAuth.openSession(request.body.user, request)
  )

  const headers = { 'user-agent': caller.userAgent }

  const post = async (url: string, payload: object): Promise<string> => {
    const response = await app.inject({ method: 'POST', url, payload, headers })
    assert.equal(response.statusCode, 200, response.payload)
    return response.json<TokenResponse>().refresh_token as string
  }

  const tokens: string[] = []

  for (let client = 0; client < CLIENTS; client++) {
    tokens.push(await post('/open', { user: `client-${client}` }))
  }

  let isClosed = false
  let held: Promise<void> | undefined

  const sweepAll = async (): Promise<number> => {
    for (let total = 0;;) {
      const count = await app.tokenAuth.sweep()

      // One that has used up its time leaves the rest to the next, if there is to be one.
      if (count === 0 || isClosed) {
        return total
      }

      total += count
    }
  }

  return {
    sweepAll,
    async refreshFor (ms, goesOn) {
      const start = performance.now()
      let count = 0
      await Promise.all(tokens.map(async (_, client) => {
        while (performance.now() < start + ms && goesOn()) {
          const token = await post('/auth/refresh', { refresh_token: tokens[client] })
          assert.notEqual(token, tokens[client])
          tokens[client] = token
          count++
          // As a request that comes over the network: it cannot come before the event loop has had its turn.
          await turn()
        }
      }))
      const took = performance.now() - start
      return { perSecond: count / took * 1000, took }
    },
    heldSweep () {
      gate.close()
      let isDone = false
      held = sweepAll().then(() => {
        isDone = true
      })

      return {
        isDone: () => isDone,
        async during (work) {
          const before = swept
          gate.open()
          const result = await work()
          gate.close()
          return { swept: swept - before, result }
        }
      }
    },
    async close () {
      isClosed = true
      gate.open()
      await app.close()
      // The sweep that was held has its last batch under way.
      await held
    }
  }
}

class Gate {
  opened = Promise.resolve()
  open: () => void = () => {}

  close (): void {
    this.opened = new Promise(resolve => {
      this.open = resolve
    })
  }
}
