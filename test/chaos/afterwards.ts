// What must hold when all servers are up again and it is quiet.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Browser } from './client.js'
import { isUnsettled, send } from './http.js'
import type { Answer, Request } from './http.js'
import type { Server } from './servers.js'
import { BOUND, CLIENT_TIMEOUT, GRACE, SECONDS, STALE_SESSIONS } from './settings.js'
import type { TokenStore } from '../../src/index.js'
import { claimsOf } from './world.js'
import type { SignedIn, World } from './world.js'
import type { SessionListResponse, TokenResponse } from '../../src/protocol.js'

/** A sentence, and what speaks against it. */
export type Check = readonly [name: string, wrong: readonly string[]]

const PATIENCE = 5000

export async function checkAfterwards (
  world: World,
  browsers: readonly Browser[],
  store: TokenStore,
  staleIds: readonly string[]
): Promise<Check[]> {
  const { servers } = world
  const live = browsers.filter(({ session }) => session?.state === 'live')
  const ended = [...world.sessions.values()].filter(({ state }) => state === 'ended')
  const checks: Check[] = []

  const check = async (name: string, find: () => Promise<Array<string | null>>): Promise<void> => {
    checks.push([name, (await find()).filter(wrong => wrong !== null)])
  }

  await sleep(Math.max(BOUND, GRACE))

  await check(
    'every client whose session was not revoked refreshes, and all tabs of a browser get the same successor',
    () =>
      all(live, async browser => {
        const session = browser.session as SignedIn
        const answers = await all(browser.clients.flatMap(() => servers), server =>
          refresh(server, session.newest))
        const successors = new Set(answers.map(({ status, code, body }) =>
          status === 200 ? (body as TokenResponse).refresh_token : `${status} ${code}`
        ))

        if (successors.size > 1 || answers[0]?.status !== 200) {
          return [
            session.id,
            `${successors.size} answers: ${answers.map(nameOf).join(', ')}`,
            ...session.history
          ].join('\n      ')
        }

        session.adopt(answers[0].body as TokenResponse)
        return null
      })
  )

  await check(
    'every session has one row, at the generation of the newest token',
    () =>
      all(live, async browser => {
        const { id, generation, access } = browser.session as SignedIn
        const row = await store.find(id)
        const { status, code, body } = await ask(servers[0] as Server, '/auth/sessions', {
          method: 'GET',
          bearer: access
        })
        const listed = status === 200
          ? (body as SessionListResponse).sessions.filter(session => session.id === id).length
          : `${status} ${code}`
        const isRight = row?.generation === generation && row.revokedAt === null && listed === 1

        return isRight
          ? null
          : `${id}: seen ${generation}, row ${row?.generation}, revoked ${row?.revokedFor}, listed ${listed} times`
      })
  )

  await check(
    'every revoked session is refused by each server, at refresh and by its access token',
    () =>
      all(ended, async session => {
        const row = await store.find(session.id)

        if (row === null || row.revokedAt === null || row.generation < session.generation) {
          return `${session.id}: row ${JSON.stringify(row)}`
        }

        for (const server of servers) {
          const refreshed = await refresh(server, session.newest)
          const visited = await visit(server, session)

          if (
            refreshed.code !== 'AUTH_REFRESH_REVOKED' || visited.code !== 'AUTH_SESSION_REVOKED'
          ) {
            return `${session.id}: ${refreshed.status} ${refreshed.code}, ${visited.status} ${visited.code}`
          }
        }

        return null
      })
  )

  await check(
    `a logout on one server is known to the others within ${BOUND} ms`,
    () =>
      all(live.slice(0, 6), async (browser, i) => {
        const session = browser.session as SignedIn
        const first = servers[i % servers.length] as Server
        const others = servers.filter(server => server !== first)

        if ((await visit(first, session)).status !== 200) {
          return `${session.id}: refused before its logout`
        }

        const { status } = await ask(first, '/auth/logout', {
          method: 'POST',
          body: { refresh_token: session.newest }
        })
        const start = performance.now()
        await all(others, async server => {
          while (
            (await visit(server, session)).status === 200 && performance.now() - start < 2 * BOUND
          ) {
            await sleep(10)
          }
        })
        const took = Math.round(performance.now() - start)
        world.count(
          'slowest logout, ms',
          Math.max(0, took - (world.counts.get('slowest logout, ms') ?? 0))
        )
        return status === 204 && took <= BOUND ? null : `${session.id}: ${status}, after ${took} ms`
      })
  )

  await check('what had ended long ago is swept, and nothing else', async () => [
    ...await all(
      staleIds,
      async id => await store.find(id) === null ? null : `${id} is still there`
    ),
    (world.counts.get('swept') ?? 0) > STALE_SESSIONS
      ? `${world.counts.get('swept')} were swept`
      : null
  ])

  await check('nobody was answered what must not be', async () => world.findings)
  await check(
    'no server died by itself',
    () =>
      all(
        servers,
        async server => server.deaths === 0 ? null : `${server.deaths} times:\n${server.log()}`
      )
  )
  await check('enough has happened to prove something', async () => [
    ...atLeast(world, 'refreshes', 20 * SECONDS),
    ...atLeast(world, 'rotated', 5 * SECONDS),
    ...atLeast(world, '503', 1),
    ...atLeast(world, 'kills', SECONDS / 10),
    ...atLeast(world, 'cuts', SECONDS / 4),
    ...atLeast(world, 'restarts of the engine', 1),
    ...atLeast(world, 'sessions ended', SECONDS / 4),
    ...atLeast(world, 'spent tokens tried', SECONDS - 15)
  ])
  return checks
}

function nameOf ({ status, code, body }: Answer): string {
  return status === 200
    ? `generation ${claimsOf((body as TokenResponse).refresh_token as string).gen}`
    : `${status} ${code}`
}

function atLeast (world: World, what: string, times: number): string[] {
  const count = world.counts.get(what) ?? 0
  return count < times ? [`only ${count} ${what}`] : []
}

function all<T, Result> (
  items: readonly T[],
  work: (item: T, i: number) => Promise<Result>
): Promise<Result[]> {
  return Promise.all(items.map(work))
}

function refresh (server: Server, token: string): Promise<Answer> {
  return ask(server, '/auth/refresh', { method: 'POST', body: { refresh_token: token } })
}

function visit (server: Server, { access }: SignedIn): Promise<Answer> {
  return ask(server, '/protected', { method: 'GET', bearer: access })
}

/** Asks again after a 503, for a bounded time. */
async function ask (
  server: Server,
  path: string,
  request: Omit<Request, 'timeout'>
): Promise<Answer> {
  const limit = performance.now() + PATIENCE

  for (;;) {
    const answer = await send(`${server.url}${path}`, { timeout: CLIENT_TIMEOUT, ...request })

    if (!isUnsettled(answer) || performance.now() > limit) {
      return answer
    }

    await sleep(50)
  }
}
