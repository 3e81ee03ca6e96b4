import { setTimeout as sleep } from 'node:timers/promises'
import type { Browser } from './client.js'
import { isUnsettled, send } from './http.js'
import type { ClientResponse, Request } from './http.js'
import type { Server } from './servers.js'
import { CLIENT_TIMEOUT, GRACE, PROPAGATION_LIMIT, SECONDS, STALE_SESSIONS } from './settings.js'
import { REALM } from './stores.js'
import type { TokenStore } from '../../src/index.js'
import { readClaims } from './world.js'
import type { TrackedSession, World } from './world.js'
import type { SessionListResponse, TokenResponse } from '../../src/protocol.js'

/** Requirement, and the failures to meet it. */
export type Check = readonly [name: string, failures: readonly string[]]

const RETRY_LIMIT = 5000

/** Checks the sessions after the disruptions have stopped and all servers are up. */
export async function runChecks (
  world: World,
  browsers: readonly Browser[],
  store: TokenStore,
  staleIds: readonly string[]
): Promise<Check[]> {
  const { servers } = world
  const live = browsers.filter(({ session }) => session?.state === 'live')
  const ended = [...world.sessions.values()].filter(({ state }) => state === 'ended')
  const checks: Check[] = []

  const check = async (
    name: string,
    findFailures: () => Promise<Array<string | null>>
  ): Promise<void> => {
    checks.push([name, (await findFailures()).filter(failure => failure !== null)])
  }

  await sleep(Math.max(PROPAGATION_LIMIT, GRACE))

  await check(
    'every session that was not revoked refreshes, with the same successor for all tabs',
    () =>
      mapAll(live, async browser => {
        const session = browser.session as TrackedSession
        const responses = await mapAll(browser.tabs.flatMap(() => servers), server =>
          refresh(server, session.refreshToken))
        const successors = new Set(responses.map(({ status, code, body }) =>
          status === 200 ? (body as TokenResponse).refresh_token : `${status} ${code}`
        ))

        if (successors.size > 1 || responses[0]?.status !== 200) {
          return [
            session.id,
            `${successors.size} successors: ${responses.map(describeResponse).join(', ')}`,
            ...session.history
          ].join('\n      ')
        }

        session.saveTokens(responses[0].body as TokenResponse)
        return null
      })
  )

  await check(
    'every session has one row with the generation of the newest token',
    () =>
      mapAll(live, async browser => {
        const { id, generation, accessToken } = browser.session as TrackedSession
        const row = await store.find(REALM, id)
        const { status, code, body } = await sendUntilSettled(
          servers[0] as Server,
          '/auth/sessions',
          {
            method: 'GET',
            bearer: accessToken
          }
        )
        const listed = status === 200
          ? (body as SessionListResponse).sessions.filter(session => session.id === id).length
          : `${status} ${code}`
        const isCorrect = row?.generation === generation && row.revokedAt === null && listed === 1

        return isCorrect
          ? null
          : `${id}: expected generation ${generation}, found ${row?.generation}, ` +
            `revoked for ${row?.revokedFor}, listed ${listed} times`
      })
  )

  await check(
    'every server rejects the refresh token and the access token of every revoked session',
    () =>
      mapAll(ended, async session => {
        const row = await store.find(REALM, session.id)

        if (row === null || row.revokedAt === null || row.generation < session.generation) {
          return `${session.id}: row ${JSON.stringify(row)}`
        }

        for (const server of servers) {
          const refreshed = await refresh(server, session.refreshToken)
          const called = await getProtected(server, session)

          if (
            refreshed.code !== 'AUTH_REFRESH_REVOKED' || called.code !== 'AUTH_SESSION_REVOKED'
          ) {
            return `${session.id}: refresh ${refreshed.status} ${refreshed.code}, ` +
              `call ${called.status} ${called.code}`
          }
        }

        return null
      })
  )

  await check(
    `a logout on one server reaches the others within ${PROPAGATION_LIMIT} ms`,
    () =>
      mapAll(live.slice(0, 6), async (browser, i) => {
        const session = browser.session as TrackedSession
        const first = servers[i % servers.length] as Server
        const others = servers.filter(server => server !== first)

        if ((await getProtected(first, session)).status !== 200) {
          return `${session.id}: rejected before its logout`
        }

        const { status } = await sendUntilSettled(first, '/auth/logout', {
          method: 'POST',
          body: { refresh_token: session.refreshToken }
        })
        const start = performance.now()
        await mapAll(others, async server => {
          while (
            (await getProtected(server, session)).status === 200 &&
            performance.now() - start < 2 * PROPAGATION_LIMIT
          ) {
            await sleep(10)
          }
        })
        const duration = Math.round(performance.now() - start)
        world.count(
          'slowest logout, ms',
          Math.max(0, duration - (world.counts.get('slowest logout, ms') ?? 0))
        )

        return status === 204 && duration <= PROPAGATION_LIMIT
          ? null
          : `${session.id}: ${status}, after ${duration} ms`
      })
  )

  await check('the sweep deletes the sessions that expired long ago and no others', async () => [
    ...await mapAll(
      staleIds,
      async id => await store.find(REALM, id) === null ? null : `${id} is still there`
    ),
    (world.counts.get('swept') ?? 0) > STALE_SESSIONS
      ? `${world.counts.get('swept')} sessions were deleted`
      : null
  ])

  await check('no client received an invalid response', async () => world.findings)
  await check(
    'no server crashed',
    () =>
      mapAll(
        servers,
        async server => server.crashes === 0 ? null : `${server.crashes} times:\n${server.log()}`
      )
  )
  await check('the run had enough events', async () => [
    ...checkMinimum(world, 'refreshes', 20 * SECONDS),
    ...checkMinimum(world, 'rotated', 5 * SECONDS),
    ...checkMinimum(world, '503', 1),
    ...checkMinimum(world, 'kills', SECONDS / 10),
    ...checkMinimum(world, 'cuts', SECONDS / 4),
    ...checkMinimum(world, 'restarts of the engine', 1),
    ...checkMinimum(world, 'logouts', SECONDS / 4),
    ...checkMinimum(world, 'revoked tokens tried', SECONDS - 15)
  ])
  return checks
}

function describeResponse ({ status, code, body }: ClientResponse): string {
  return status === 200
    ? `generation ${readClaims((body as TokenResponse).refresh_token as string).gen}`
    : `${status} ${code}`
}

function checkMinimum (world: World, name: string, minimum: number): string[] {
  const count = world.counts.get(name) ?? 0
  return count < minimum ? [`only ${count} ${name}`] : []
}

function mapAll<T, Result> (
  items: readonly T[],
  work: (item: T, i: number) => Promise<Result>
): Promise<Result[]> {
  return Promise.all(items.map(work))
}

function refresh (server: Server, token: string): Promise<ClientResponse> {
  return sendUntilSettled(server, '/auth/refresh', {
    method: 'POST',
    body: { refresh_token: token }
  })
}

function getProtected (server: Server, { accessToken }: TrackedSession): Promise<ClientResponse> {
  return sendUntilSettled(server, '/protected', { method: 'GET', bearer: accessToken })
}

/** Sends a request, and retries it for a limited time while its outcome is unknown. */
async function sendUntilSettled (
  server: Server,
  path: string,
  request: Omit<Request, 'timeout'>
): Promise<ClientResponse> {
  const limit = performance.now() + RETRY_LIMIT

  for (;;) {
    const response = await send(`${server.url}${path}`, { timeout: CLIENT_TIMEOUT, ...request })

    if (!isUnsettled(response) || performance.now() > limit) {
      return response
    }

    await sleep(50)
  }
}
