import assert from 'node:assert/strict'
import { setImmediate as waitForEventLoop } from 'node:timers/promises'
import Fastify from 'fastify'
import { tokenAuth } from 'fastify-token-auth'
import type { TokenResponse, TokenStore } from 'fastify-token-auth'
import { secret } from '../../../examples/shared/secret.js'
import { caller } from './seed.js'

const CLIENTS = 64

/** Result of a run. */
export interface RefreshRun {
  readonly perSecond: number
  /** Length of the run, in milliseconds. */
  readonly elapsed: number
}

/** An app with clients that refresh, each with a session of its own. */
export interface RefreshLoad {
  /** Refreshes with all clients, until the time is over or `shouldContinue` returns false. */
  refreshFor(ms: number, shouldContinue: () => boolean): Promise<RefreshRun>
  /** Sweeps until no expired session is left. @returns The number of deleted sessions. */
  sweepAll(): Promise<number>
  /** Starts a sweep that is paused. */
  startPausedSweep(): PausableSweep
  close(): Promise<unknown>
}

/** A sweep that works only during some rounds, so that one seed serves several rounds. */
export interface PausableSweep {
  /** Lets the sweep continue while `work` runs. */
  runDuring<Result>(
    work: () => Promise<Result>
  ): Promise<{ readonly swept: number, readonly result: Result }>
  isFinished(): boolean
}

/** Starts an app on a store, and logs its clients in. */
export async function startRefreshLoad (store: TokenStore): Promise<RefreshLoad> {
  const gate = new Gate()
  let sweptTotal = 0
  const gatedStore: TokenStore = {
    check: () => store.check(),
    create: session => store.create(session),
    rotate: (attempt, options) => store.rotate(attempt, options),
    find: (realm, id) => store.find(realm, id),
    list: (realm, userId, page) => store.list(realm, userId, page),
    revoke: (target, revocation) => store.revoke(target, revocation),
    touch: batch => store.touch(batch),
    revocations: (after, limit) => store.revocations(after, limit),
    async sweep (batch) {
      await gate.opened
      const count = await store.sweep(batch)
      sweptTotal += count
      return count
    }
  }

  const app = Fastify()
  await app.register(tokenAuth, {
    secret,
    store: gatedStore,
    users: { findByLogin: () => null, findById: id => ({ id }) },
    // Each refresh rotates, because the grace period does not keep the token.
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
  let pausedSweep: Promise<void> | undefined

  const sweepAll = async (): Promise<number> => {
    for (let total = 0;;) {
      const count = await app.tokenAuth.sweep()

      // A sweep has a time limit, and leaves the rest to the next one.
      if (count === 0 || isClosed) {
        return total
      }

      total += count
    }
  }

  return {
    sweepAll,
    async refreshFor (ms, shouldContinue) {
      const startTime = performance.now()
      let count = 0
      await Promise.all(tokens.map(async (_, client) => {
        while (performance.now() < startTime + ms && shouldContinue()) {
          const token = await post('/auth/refresh', { refresh_token: tokens[client] })
          assert.notEqual(token, tokens[client])
          tokens[client] = token
          count++
          // A request from the network also waits for the event loop.
          await waitForEventLoop()
        }
      }))
      const elapsed = performance.now() - startTime
      return { perSecond: count / elapsed * 1000, elapsed }
    },
    startPausedSweep () {
      gate.close()
      let isFinished = false
      pausedSweep = sweepAll().then(() => {
        isFinished = true
      })

      return {
        isFinished: () => isFinished,
        async runDuring (work) {
          const sweptBefore = sweptTotal
          gate.open()
          const result = await work()
          gate.close()
          return { swept: sweptTotal - sweptBefore, result }
        }
      }
    },
    async close () {
      isClosed = true
      gate.open()
      await app.close()
      // The paused sweep may still have a batch in flight.
      await pausedSweep
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
