import { createServer, request as sendRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import type { Test } from 'tap'
import { databases } from '../../helpers/databases/index.js'
import { basic } from '../oauth/demo.js'
import type { SyncResponse } from '../oauth/sync-setup.js'
import { toNote } from '../oauth/sync-setup.js'
import { client, startIssuer, startVerifier, waitUntil } from './sync-setup.js'
import type { Issuer } from './sync-setup.js'

const SESSIONS = 200
const MAX_DELAY = 1500

/** Starts a proxy that sends each request to the next instance. */
async function startRoundRobin (t: Test, instances: readonly Issuer[]): Promise<string> {
  let requests = 0
  const proxy = createServer((incoming, outgoing) => {
    const base = instances[++requests % instances.length]?.base
    const { method, headers } = incoming
    const forwarded = sendRequest(`${base}${incoming.url}`, { method, headers }, response => {
      outgoing.writeHead(response.statusCode ?? 502, response.headers)
      response.pipe(outgoing)
    })
    forwarded.on('error', () => outgoing.destroy())
    incoming.pipe(forwarded)
  }).listen(0, '127.0.0.1')
  await new Promise(resolve => {
    proxy.once('listening', resolve)
  })
  t.teardown(() => {
    proxy.close().closeAllConnections()
  })
  return `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`
}

/** Exchanges a cursor for the next page at an instance. */
async function exchange ({ base }: Issuer, cursor: string | null): Promise<SyncResponse> {
  const { clientId, clientSecret } = client
  const response = await fetch(`${base}/auth/sync`, {
    method: 'POST',
    headers: { ...basic(clientId, clientSecret), 'content-type': 'application/json' },
    body: JSON.stringify({ cursor, notes: [] })
  })
  return await response.json() as SyncResponse
}

for (const name of ['postgres', 'mysql', 'redis'] as const) {
  const { skip = false, open } = databases[name] as typeof databases[string]

  t.test(`a service behind two issuers on ${name} misses no revocation`, { skip }, async t => {
    const { store, again } = await open(t)
    const instances = [await startIssuer(t, { store }), await startIssuer(t, { store: again() })]
    const base = await startRoundRobin(t, instances)
    const sessions = new Map<string, { token: string, refresh: string, revokedAt: number | null }>()
    const delays: number[] = []
    const { read } = await startVerifier(t, base, {
      on: {
        'session-ended': ({ sessionId }) => {
          const revokedAt = sessions.get(sessionId ?? '')?.revokedAt
          delays.push(performance.now() - (revokedAt ?? -Infinity))
        }
      }
    })

    for (let i = 0; i < SESSIONS; i++) {
      const issuer = instances[i % 2] as Issuer
      const { access_token: token, refresh_token: refresh = '' } = await issuer.login()
      sessions.set(toNote(token).sid, { token, refresh, revokedAt: null })
    }

    for (const { token } of sessions.values()) {
      t.equal(await read(token), 200)
    }

    let count = 0

    for (const session of sessions.values()) {
      // An instance restarts while others revoke.
      if (++count === SESSIONS / 2) {
        const [old] = instances.splice(1, 1, await startIssuer(t, { store: again() }))
        await old?.app.close()
      }

      const issuer = instances[Math.floor(Math.random() * 2)] as Issuer
      session.revokedAt = performance.now()
      const { statusCode } = await issuer.post('/auth/logout', { refresh_token: session.refresh })
      t.equal(statusCode, 204)
    }

    await waitUntil(() => delays.length >= SESSIONS)
    t.equal(delays.length, SESSIONS, 'each once')
    const slowest = Math.max(...delays)
    t.ok(slowest < MAX_DELAY, `the slowest took ${Math.round(slowest)} ms`)

    for (const { token } of sessions.values()) {
      t.equal(await read(token), 'AUTH_SESSION_REVOKED')
    }
  })

  t.test(`a cursor of ${name} works at every instance and after a restart`, { skip }, async t => {
    const { store, again } = await open(t)
    const first = await startIssuer(t, { store })
    const second = await startIssuer(t, { store: again() })

    const revoke = async (issuer: Issuer): Promise<string> => {
      const { access_token: token } = await issuer.login()
      const { sid } = toNote(token)
      await issuer.app.tokenAuth.revokeSession(sid)
      return sid
    }

    await revoke(first)
    const start = await exchange(first, null)
    t.equal(start.revocations.length, 1)
    const [a, b] = [await revoke(first), await revoke(second)]
    const next = await exchange(second, start.cursor)
    t.strictSame(next.revocations.map(({ sid }) => sid).sort(), [a, b].sort())
    await first.app.close()
    const third = await startIssuer(t, { store: again() })
    const c = await revoke(second)
    const last = await exchange(third, next.cursor)
    t.strictSame(last.revocations.map(({ sid }) => sid), [c])
    t.strictSame((await exchange(third, last.cursor)).revocations, [])
  })
}
