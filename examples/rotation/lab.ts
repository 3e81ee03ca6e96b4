// A server whose time stands still until the script moves it. Both scripts of this folder use it.

import Fastify from 'fastify'
import { authenticate, tokenAuth } from 'fastify-token-auth'
import type { TokenResponse } from 'fastify-token-auth'
import { SqliteStore } from 'fastify-token-auth/sqlite'
import Database from 'libsql'
import { secret } from '../shared/secret.js'

/** Tokens of one response. */
export interface Tokens {
  readonly access: string
  readonly refresh: string
}

/** Sender of a request, as the server sees it. */
export interface Sender {
  readonly address: string
  readonly userAgent: string
}

export const BROWSER: Sender = { address: '192.0.2.1', userAgent: 'Browser' }
export const ATTACKER: Sender = { address: '198.51.100.7', userAgent: 'curl' }

/** A server, its database and its time. */
export type Lab = Awaited<ReturnType<typeof startLab>>

/** Starts a server on an unused port, with a database in memory. */
export async function startLab () {
  let now = Date.UTC(2026, 0, 1)
  let duringLookUp: (() => Promise<void>) | null = null
  const events: string[] = []
  const app = Fastify({ trustProxy: '127.0.0.1' })
  const db = new Database(':memory:')
  app.addHook('onClose', () => {
    db.close()
  })
  const store = new SqliteStore(db)
  await store.migrate()
  const ann = { id: '1', username: 'ann', passwordHash: '' }

  await app.register(tokenAuth, {
    secret,
    store,
    users: {
      findByLogin: () => ann,
      async findById () {
        const work = duringLookUp
        duringLookUp = null
        await work?.()
        return ann
      }
    },
    clock: () => now,
    on: {
      refresh: ({ rotated }) => events.push(rotated ? 'refresh' : 'refresh (not rotated)'),
      replay: () => events.push('replay'),
      recovery: () => events.push('recovery'),
      reuse: () => events.push('reuse'),
      'suspicious-replay': () => events.push('suspicious-replay'),
      'session-missing': () => events.push('session-missing'),
      'store-rolled-back': () => events.push('store-rolled-back'),
      'refresh-rejected': ({ reason }) => events.push(`refresh-rejected (${reason})`)
    }
  })
  ann.passwordHash = await app.tokenAuth.hashPassword('correct horse')
  app.get('/protected', { onRequest: [authenticate] }, async () => 'signed in')
  const url = await app.listen({ host: '127.0.0.1', port: 0 })

  async function post (
    path: string,
    form: Record<string, string>,
    { address, userAgent }: Sender
  ): Promise<Tokens | number> {
    const response = await fetch(url + path, {
      method: 'POST',
      headers: { 'x-forwarded-for': address, 'user-agent': userAgent },
      body: new URLSearchParams(form)
    })
    const body = await response.json() as TokenResponse

    return response.ok
      ? { access: body.access_token, refresh: body.refresh_token ?? '' }
      : response.status
  }

  return {
    db,

    /** Returns the events since the last call. */
    takeEvents: (): string[] => events.splice(0),

    wait (seconds: number): void {
      now += seconds * 1000
    },

    async login (): Promise<Tokens> {
      const tokens = await post(
        '/auth/login',
        { username: 'ann', password: 'correct horse' },
        BROWSER
      )

      if (typeof tokens === 'number') {
        throw new Error(`login failed with ${tokens}`)
      }

      return tokens
    },

    /** Returns the new tokens, or the status of the error. */
    refresh: (token: string, sender = BROWSER): Promise<Tokens | number> =>
      post('/auth/refresh', { refresh_token: token }, sender),

    /** Sends a refresh to a server that needs a long time for it. `work` runs meanwhile. */
    refreshSlowly (token: string, work: () => Promise<void>): Promise<Tokens | number> {
      duringLookUp = work
      return post('/auth/refresh', { refresh_token: token }, BROWSER)
    },

    /** Sends a request to a protected route. */
    async use (access: string): Promise<void> {
      const response = await fetch(`${url}/protected`, {
        headers: { authorization: `Bearer ${access}` }
      })
      await response.text()
    },

    close: () => app.close()
  }
}

/** Prints rows of cells in columns. */
export function printTable (rows: readonly (readonly string[])[]): void {
  const widths = rows[0]?.map((_, i) => Math.max(...rows.map(row => row[i]?.length ?? 0))) ?? []

  for (const row of rows) {
    console.log(row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  ').trimEnd())
  }
}
