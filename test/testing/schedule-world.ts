// One schedule: people with devices and tabs who call, sign in and out, on a network that is as bad as the harness makes it,
// and oracles that watch. They know the server's store and what arrived on each device, and nothing of how the client works.

import { createAuthClient } from '../../src/client/index.js'
import type { AuthClient, AuthState, LocksLike } from '../../src/client/index.js'
import { isLive } from '../../src/domain/session.js'
import { createFaults } from '../../src/testing/index.js'
import type { Action, Device, Faults, Random, Tab } from '../../src/testing/index.js'
import { PASSWORD } from '../helpers/app.js'
import { DAY, HOUR, MINUTE, SECOND } from '../helpers/clock.js'
import { claimsOf, GIVEN, ORIGIN } from './servers.js'
import type { Given, Server, ServerKind, Servers } from './servers.js'

/** What a call may take of requests to the app's own route: the one, and the one after a 401. */
const MOST_SENDS = 2
/** Of one tab in ten seconds, to refresh or to log out. The waits in between are 0.5, 1, 2, 4 s and so on. */
const MOST_IN_TEN_SECONDS = 8
/** The longest wait of the client is 30 s, and a quarter by chance; Retry-After is 30 s at most here. */
const CALM = 40 * SECOND
const PATIENCE = 30 * SECOND

interface Setup extends ServerKind {
  readonly mode: 'cookie' | 'keychain'
  readonly locks: 'work' | 'stuck' | 'none'
  readonly channels: boolean
  readonly devices: number
  readonly tabs: number
}

interface TabWorld {
  readonly tab: Tab
  readonly client: AuthClient
  readonly of: DeviceWorld
  /** When it sent a request to refresh or log out lately, by what it proves. */
  readonly sentAt: Map<string, number[]>
  /** When it was asked to log in or out: each may have a session to end, and tries until it has. */
  asked: number
  /** In the order of events: when it was signed out, and asked to log in or out. */
  outAt: number
  loginAt: number
  logoutAt: number
  /** What it sent last: its session, and when it ends. */
  sent: { readonly sid: string, readonly exp: number } | null
  /** Tokens that arrived in this tab, and how long the device had slept when they did, and when they were used first. */
  readonly got: Map<string, { readonly uncounted: number, readonly slept: number, usedAt?: number }>
  /** The session of a login whose token is still to be kept. */
  given: string | null
  /** Without locks, another tab did something while it logged in: which of them comes last is anybody's guess. */
  isRaced: boolean
  /** Requests under way that change what the device keeps. */
  flights: number
  /** Until when the server has asked this tab not to refresh. */
  blockedUntil: number
  logins: number
  logouts: number
}

interface DeviceWorld {
  readonly device: Device
  readonly tabs: TabWorld[]
  /** The session of the last login that arrived here. */
  session: string | null
  /** In the order of events: when the last login was asked for and arrived, and when somebody last asked to log out. */
  askedAt: number
  loginAt: number
  logoutAt: number
  /** Whether a logout counts for all tabs: no login was under way. */
  isClear: boolean
  /** Whether a tab has not got a lock in time: it may have gone on without, and may do without from then on. */
  isPassedBy: boolean
  /** Something was cut off in the middle, so that nobody can say what ought to be. */
  isMurky: boolean
  /** When the refresh token ends that arrived last, and with it its cookie. */
  endsAt: number
}

export interface Outcome {
  readonly setup: Setup
  readonly faults: Faults
  readonly requests: number
  readonly calls: number
}

/** @throws ScheduleError */
export async function runSchedule (
  seed: number,
  steps: number,
  servers: Servers,
  isRemote = false
): Promise<Outcome> {
  const faults = createFaults({
    seed,
    start: Date.UTC(2026, 0, 1) + seed * 200 * DAY,
    only: () => true
  })
  const { clock, random } = faults
  const mode = random.pick(['cookie', 'keychain'] as const)
  const setup: Setup = {
    mode,
    renews: random.chance(0.3),
    usesAccessCookie: mode === 'cookie' && random.chance(0.2),
    isRemote,
    locks: random.weigh([['work', 3], ['none', 1], ['stuck', 1]] as const),
    channels: random.chance(0.7),
    devices: random.weigh([[1, 3], [2, 1]] as const),
    tabs: random.weigh([[1, 2], [2, 2], [3, 1], [5, 1]] as const)
  }
  const server = await servers.open(setup, clock.time)
  const world = createWorld(faults, setup, server)
  const realNow = Date.now
  // A device whose date is wrong: whoever reckons with it is found out.
  Date.now = clock.date

  try {
    await faults.schedule({ begin: [1, world.begin] }, 1, world.check)
    await faults.schedule(world.actions, steps - 2, world.check)
    await faults.schedule({ end: [1, world.end] }, 1, world.check)
  } catch (error) {
    ;(error as Error).message += `\n${JSON.stringify(setup)}`
    throw error
  } finally {
    Date.now = realNow
    world.close()
  }

  return { setup, faults, requests: world.count.requests, calls: world.count.calls }
}

interface World {
  readonly actions: Readonly<Record<string, Action>>
  readonly count: { requests: number, calls: number }
  begin(): Promise<void>
  end(): Promise<void>
  check(): void
  close(): void
}

function createWorld (faults: Faults, setup: Setup, server: Server): World {
  const { clock } = faults
  const violations: string[] = []
  const count = { requests: 0, calls: 0 }
  const refreshTokens = new Map<string, string[]>()
  const replayed = new Set<string>()
  const sends = new Map<string, number>()
  let uncounted = 0
  let order = 0

  const blame = (text: string): void => {
    violations.push(text)
  }

  async function isAlive (sid: string | null): Promise<boolean> {
    const session = sid === null ? null : await server.store.find(sid)
    return session !== null && isLive(session, clock.time())
  }

  /** Whether the device can go on. A cookie ends sooner than its session where the answer was lost that made both last longer. */
  async function canGoOn ({ session, endsAt }: DeviceWorld): Promise<boolean> {
    return (setup.mode === 'keychain' || clock.time() < endsAt) && isAlive(session)
  }

  const devices: DeviceWorld[] = Array.from({ length: setup.devices }, () => ({
    device: faults.device(),
    tabs: [],
    session: null,
    askedAt: 0,
    loginAt: 0,
    logoutAt: 0,
    isClear: true,
    isPassedBy: false,
    isMurky: false,
    endsAt: 0
  }))

  function live (of: DeviceWorld): TabWorld[] {
    return of.tabs.filter(({ tab }) => tab.isAlive)
  }

  // What is stored, as the next tab will find it.
  function kept (of: DeviceWorld): string | null {
    const text = setup.mode === 'keychain'
      ? of.device.stored
      : of.device.cookies.entries().get('__Host-auth-refresh') ?? null
    return text === null || text.startsWith('out:') ? null : text
  }

  /** Whether it is kept that somebody has signed out, for whoever tells the server. */
  function isOut ({ device }: DeviceWorld): boolean {
    return [device.stored, ...device.flags.values()].some(text => text?.startsWith('out:'))
  }

  function open (of: DeviceWorld): TabWorld {
    const tab = of.device.open({ locks: setup.locks, channels: setup.channels })
    const send = tab.wrap(server.send)
    const client = createAuthClient({
      baseUrl: ORIGIN,
      platform: { ...tab.platform, locks: watchLocks(of, tab.platform.locks) },
      ...(setup.mode === 'keychain' && { storage: tab.storage, name: 'shared' }),
      fetch: async (input, init) => {
        const url = String(input)
        watchSent(url, new Headers(init?.headers), init?.body as string)
        const changes = /login|refresh|logout$/.test(url)

        if (changes) {
          watchRace(self)
        }

        try {
          const response = await send(input, init)
          watchArrived(url, response)
          return response
        } finally {
          if (changes) {
            self.flights--
          }
        }
      }
    })
    const self: TabWorld = {
      tab,
      client,
      of,
      sentAt: new Map(),
      asked: 0,
      outAt: 0,
      got: new Map(),
      given: null,
      isRaced: false,
      flights: 0,
      loginAt: 0,
      logoutAt: 0,
      sent: null,
      blockedUntil: 0,
      logins: 0,
      logouts: 0
    }
    of.tabs.push(self)
    client.subscribe(state => {
      if (tab.isAlive && state.status === 'signed-out') {
        void judgeSignOut(self, state)
      }
    })

    function watchSent (url: string, headers: Headers, body: string): void {
      count.requests++
      const now = clock.now()
      const { pathname, search } = new URL(url)
      const route = pathname.split('/').at(-1) ?? ''

      if (route === 'refresh' || route === 'logout') {
        const what = `${pathname} with ${headers.get('authorization')} and ${body}`
        const times = [...(self.sentAt.get(what) ?? []), now].filter(at => at > now - 10 * SECOND)
        self.sentAt.set(what, times)
        const lately = times.length

        if (lately > MOST_IN_TEN_SECONDS) {
          blame(`${tab.name} has sent ${lately} requests to ${what} in 10 s`)
        }
      }

      if (route === 'refresh' && now < self.blockedUntil) {
        blame(`${tab.name} refreshes ${self.blockedUntil - now} ms before it may`)
      }

      if (route !== 'protected') {
        return
      }

      const sent = (sends.get(search) ?? 0) + 1
      sends.set(search, sent)

      if (sent > MOST_SENDS) {
        blame(`${tab.name} sends call ${search} ${sent} times`)
      }

      if (setup.usesAccessCookie) {
        return
      }

      const token = headers.get('authorization')?.slice('Bearer '.length)

      if (token === undefined) {
        if (client.state.status === 'signed-in') {
          blame(`${tab.name} calls without the token that it has`)
        }

        return
      }

      const { sid, exp } = claimsOf(token)
      const got = self.got.get(token)
      // What it was given while the device fell asleep is tried before it is known to have ended.
      const isKnown = got?.uncounted === uncounted &&
        (got.slept === clock.slept() || (got.usedAt ?? Infinity) < clock.slept())

      if (got !== undefined) {
        got.usedAt ??= clock.slept()
      }

      if (isKnown && exp * 1000 + SECOND < clock.time()) {
        blame(`${tab.name} calls with a token that ended ${clock.time() - exp * 1000} ms ago`)
      }

      if (self.sent?.sid === sid && self.sent.exp > exp) {
        blame(`${tab.name} goes back to an older token`)
      }

      self.sent = { sid, exp }
    }

    function watchArrived (url: string, { status, headers }: Response): void {
      const { pathname } = new URL(url)

      if (pathname.endsWith('/refresh') && [429, 503].includes(status)) {
        self.blockedUntil = clock.now() + Number(headers.get('retry-after')) * 1000
      }

      const { access, refresh } = JSON.parse(headers.get(GIVEN) ?? '{}') as Given

      if (refresh !== undefined) {
        of.endsAt = claimsOf(refresh).exp * 1000
      }

      if (access === undefined || status !== 200) {
        return
      }

      if (!self.got.has(access)) {
        self.got.set(access, { uncounted, slept: clock.slept() })
      }

      const { sid } = claimsOf(access)

      // A logout of the same tab voids the logins before it.
      if (!pathname.endsWith('/login') || self.logoutAt > self.loginAt) {
        return
      }

      // A keychain has to keep it first.
      if (setup.mode === 'cookie') {
        noteLogin(self, sid)
      } else {
        self.given = sid
      }
    }

    return self
  }

  function watchLocks (of: DeviceWorld, locks: LocksLike | null | undefined): LocksLike | null {
    if (!locks) {
      return null
    }

    return {
      async request (name, { signal }, work) {
        let isOpen = false
        signal.addEventListener('abort', () => {
          of.isPassedBy ||= !isOpen
        })

        return locks.request(name, { signal }, () => {
          isOpen = true
          return work()
        })
      }
    }
  }

  function noteLogin ({ of, loginAt, isRaced }: TabWorld, sid: string | null): void {
    of.session = sid
    of.askedAt = loginAt
    of.loginAt = ++order
    of.isMurky = isRaced
  }

  function watchRace (self: TabWorld): void {
    const { of } = self
    self.flights++

    if (setup.locks === 'work' && !of.isPassedBy) {
      return
    }

    const tabs = live(of)
    const isLogin = tabs.some(({ logins }) => logins > 0)

    if (!isLogin || tabs.filter(({ flights, logins }) => flights > 0 || logins > 0).length < 2) {
      return
    }

    of.isMurky = true

    for (const tab of tabs) {
      tab.isRaced = true
    }
  }

  /** Nobody is signed out but by a logout, or by what the store says. */
  async function judgeSignOut (self: TabWorld, { reason }: AuthState): Promise<void> {
    const { tab, of } = self
    self.outAt = ++order
    mourn()

    if (of.isMurky) {
      return
    }

    const { session, logoutAt, askedAt, loginAt } = of

    if (reason === 'logout' && logoutAt === 0) {
      blame(`${tab.name} is signed out by a logout that nobody asked for`)
    }

    if (logoutAt > loginAt) {
      return
    }

    // Somebody logged out in another tab while the login was under way: which of them is heard last is anybody's guess.
    if (reason === 'logout' && logoutAt > askedAt) {
      of.isMurky = true
      return
    }

    if (await canGoOn(of)) {
      blame(`${tab.name} is signed out (${reason}) of ${session}, which is alive`)
    }
  }

  // Where a tab went in the middle of something, what it has left behind is what counts.
  function mourn (): void {
    for (const of of devices) {
      for (const self of of.tabs) {
        if (self.tab.isAlive || (self.logins === 0 && self.logouts === 0)) {
          continue
        }

        const text = kept(of)
        const sid = text === null ? null : claimsOf(text).sid
        // What is kept ends the session at the next start: also that of a login whose cookie came after it, and was cut off then.
        const isLost = self.logouts > 0 && (self.logins > 0 || !isOut(of))

        if (self.logins > 0 && sid !== of.session) {
          noteLogin(self, sid)
        }

        of.isMurky ||= isLost
        self.logins = self.logouts = 0
      }
    }
  }

  async function call (
    { client }: TabWorld
  ): Promise<{ readonly status: number, readonly sid: string | null }> {
    const id = ++count.calls
    const asked = clock.now()
    const slept = clock.slept()
    const controller = new AbortController()
    const done = new AbortController()
    void clock.sleep(PATIENCE, done.signal).then(() => {
      controller.abort()
    })

    try {
      const response = await client.fetch(`/protected?call=${id}`, { signal: controller.signal })
      const body = await response.text()

      return {
        status: response.status,
        sid: body.startsWith('{"userId')
          ? (JSON.parse(body) as { sessionId: string }).sessionId
          : null
      }
    } catch {
      return { status: 0, sid: null }
    } finally {
      done.abort()
      const took = clock.now() - asked

      if (clock.slept() === slept && took > PATIENCE + SECOND) {
        blame(`call ${id} took ${took} ms`)
      }
    }
  }

  async function login (self: TabWorld, username: string): Promise<void> {
    self.asked++
    self.loginAt = ++order

    if (self.logins++ === 0) {
      self.isRaced = false
    }

    const isIn = await self.client.login({ username, password: PASSWORD, remember_me: true }).then(
      () => true,
      () => false
    )

    if (isIn && self.given !== null) {
      noteLogin(self, self.given)
    }

    self.given = null
    self.logins--
  }

  function noteLogout (of: DeviceWorld): void {
    of.isClear = live(of).every(({ logins }) => logins === 0)
    of.logoutAt = ++order
  }

  function logout (self: TabWorld): Promise<void> {
    self.asked++
    self.logouts++
    noteLogout(self.of)
    self.logoutAt = order
    const done = self.client.logout().catch(() => {}).finally(() => {
      self.logouts--
    })

    if (self.client.state.status !== 'signed-out') {
      blame(`${self.tab.name} is not signed out at once`)
    }

    return done
  }

  async function logoutEverywhere (self: TabWorld): Promise<void> {
    const { of } = self
    const { logoutAt: before, isClear } = of
    self.logouts++
    noteLogout(of)
    const { logoutAt } = of
    await self.client.logoutEverywhere().then(() => {
      // Whoever has signed in meanwhile stays so, and whose login is still under way is signed out.
      if (of.loginAt > logoutAt) {
        return
      }

      noteLogout(of)
      self.logoutAt = order
    }, () => {
      // It may have come to the server or not: either way the store knows.
      if (of.logoutAt === logoutAt) {
        Object.assign(of, { logoutAt: before, isClear })
      }
    })
    self.logouts--
  }

  /** Everything is well again: whoever has a session gets answers, and whoever has none has no token. */
  async function calmDown (): Promise<void> {
    faults.heal()
    await clock.run(CALM)
    mourn()

    for (const of of devices) {
      // Without channels, a tab that is signed out already hears of no other logout: one opened later finds it, and tells.
      if (live(of).length === 0 || (!setup.channels && of.logoutAt > of.loginAt)) {
        await clock.until(open(of).client.ready)
      }

      await clock.run(5 * SECOND)

      for (const self of live(of)) {
        await demandAnswer(self)
      }

      if (of.logoutAt > of.loginAt && of.isClear && !of.isMurky) {
        await demandNothing(of)
      }
    }

    await clock.run(CALM)
    const before = count.requests
    await clock.run(MINUTE)

    if (count.requests !== before) {
      blame(`${count.requests - before} requests in a minute in which nobody wanted anything`)
    }
  }

  async function demandAnswer (self: TabWorld): Promise<void> {
    const { of, tab } = self
    const until = clock.now() + MINUTE

    for (;;) {
      const { status, sid } = await clock.until(call(self))

      if (of.isMurky || of.logoutAt > of.loginAt || !await canGoOn(of)) {
        return
      }

      // Nobody has told it that somebody has signed in since.
      if (!setup.channels && self.outAt > 0 && self.outAt < of.loginAt) {
        return
      }

      if (status === 200 && sid === of.session) {
        break
      }

      if (clock.now() >= until) {
        return blame(
          `${tab.name} gets ${status} for ${sid}, and ${self.client.state.status}, while ${of.session} is alive`
        )
      }

      await clock.run(SECOND)
    }

    if (self.client.state.status !== 'signed-in') {
      blame(`${tab.name} gets answers, and is ${self.client.state.status}`)
    }
  }

  async function demandNothing (of: DeviceWorld): Promise<void> {
    for (const { client, tab } of live(of)) {
      if (client.state.status !== 'signed-out') {
        blame(`${tab.name} is ${client.state.status} after a logout`)
      }

      const token = await clock.until(client.getAccessToken().catch(() => null))

      if (token !== null) {
        blame(`${tab.name} has a token after a logout`)
      }
    }

    const { stored, flags, cookies } = of.device

    if (stored !== null) {
      blame('a token is stored after a logout')
    }

    if (flags.size > 0) {
      blame(`flags are left after a logout: ${JSON.stringify([...flags])}`)
    }

    const names = [...cookies.entries().keys()].filter(name => /refresh|access/.test(name))

    if (names.length > 0) {
      blame(`cookies are left after a logout: ${names.join()}`)
    }

    if (await canGoOn(of)) {
      blame(`${of.session} is alive after a logout`)
    }
  }

  const pickDevice = (random: Random): DeviceWorld => random.pick(devices)

  /** Does something in a tab, and does not wait for it. */
  const inTab =
    (act: (self: TabWorld, random: Random) => unknown) => async (random: Random): Promise<void> => {
      const of = pickDevice(random)
      const tabs = live(of)
      const self = tabs.length === 0 ? open(of) : random.pick(tabs)
      act(self, random)
      await clock.run(
        random.weigh([[0, 2], [random.between(1, 100), 3], [random.between(100, 5000), 2]])
      )
    }

  const person = (random: Random): string => random.weigh([['ann', 3], ['bob', 1]])

  const actions: Record<string, Action> = {
    call: [
      22,
      inTab((self, random) => {
        for (let i = random.between(1, 3); i > 0; i--) {
          void call(self)
        }
      })
    ],
    token: [
      2,
      inTab(({ client }) => {
        client.getAccessToken().catch(() => {})
      })
    ],
    login: [
      4,
      inTab((self, random) => {
        void login(self, person(random))
      })
    ],
    // Nobody is there to call, unless somebody signs in again.
    'login if out': [
      10,
      inTab((self, random) => {
        if (self.client.state.status === 'signed-out') {
          void login(self, person(random))
        }
      })
    ],
    logout: [
      1.5,
      inTab(self => {
        void logout(self)
      })
    ],
    'logout everywhere': [
      0.5,
      inTab(self => {
        void logoutEverywhere(self)
      })
    ],
    'end the others': [
      0.5,
      inTab(({ client }) => {
        client.endOtherSessions().catch(() => {})
      })
    ],
    seconds: [10, random => clock.run(random.between(1, 20_000))],
    minutes: [14, random => clock.run(random.between(1, 20) * MINUTE)],
    hours: [4, random => {
      sleep(random.between(1, 12) * HOUR, random.chance(0.7))
    }],
    days: [1.5, random => {
      sleep(random.between(1, 8) * DAY, random.chance(0.7))
    }],
    'wrong date': [2, random => {
      clock.step(random.pick([-DAY, -HOUR, -MINUTE, MINUTE, HOUR, DAY]))
    }],
    kill: [3, random => {
      const tabs = live(pickDevice(random))

      if (tabs.length > 0) {
        random.pick(tabs).tab.kill()
      }
    }],
    open: [6, random => {
      const of = pickDevice(random)

      if (live(of).length < setup.tabs) {
        open(of)
      }
    }],
    offline: [3, () => {
      faults.goOffline()
    }],
    online: [6, () => {
      faults.goOnline()
    }],
    'bad refresh': [3, random => {
      const kind = random.pick(
        ['drop', 'kill', '429', '503', 'hang', 'delay', 'duplicate'] as const
      )
      faults.next(kind, '/refresh', random.between(1, 3))
    }],
    'bad logout': [1, random => {
      faults.next(random.pick(['drop', 'unsent', '503', 'portal']), '/logout')
    }],
    'bad login': [1, random => {
      faults.next(random.pick(['drop', 'kill', '503', 'duplicate']), '/login')
    }],
    'bad call': [1, random => {
      faults.next(
        random.pick(['drop', 'kill', '503', 'reorder', 'delay']),
        '/protected',
        random.between(1, 3)
      )
    }],
    revoke: [0.5, random =>
      clock.hold(async () => {
        const { session } = pickDevice(random)

        if (session !== null) {
          await server.app.app.tokenAuth.revokeSession(session)
        }
      })],
    'revoke all': [0.3, () => clock.hold(() => server.app.app.tokenAuth.revokeUser('u-ann'))],
    thief: [0.3, random =>
      clock.hold(async () => {
        const { session } = pickDevice(random)
        const tokens = session === null ? undefined : refreshTokens.get(session)

        if (session === null || tokens === undefined || tokens.length < 3) {
          return
        }

        replayed.add(session)
        await server.app.refresh(tokens[0])
      })],
    restart: [0.1, () => clock.hold(() => server.restart())],
    calm: [0.7, async () => {
      await calmDown()
      faults.resume()
    }]
  }

  function sleep (ms: number, isCounted: boolean): void {
    clock.suspend(ms, isCounted)

    if (!isCounted) {
      uncounted += ms
    }
  }

  return {
    count,
    actions,
    async begin () {
      for (const of of devices) {
        void login(open(of), 'ann')
      }

      await clock.run(SECOND)
    },
    async end () {
      await calmDown()

      for (const of of devices) {
        const tabs = live(of)
        const self = tabs.find(({ client }) => client.state.status === 'signed-in') ?? tabs[0]

        if (self === undefined) {
          continue
        }

        await clock.until(logout(self))

        // Whichever session it was that another one has overwritten: nobody here knows of it.
        if (of.isMurky) {
          of.session = null
        }

        await clock.run(SECOND)

        // Tabs that do not hear of each other, or have another session after a race, find out when they ask.
        if (!setup.channels || of.isMurky) {
          for (const tab of live(of)) {
            await clock.until(call(tab))
          }
        }

        await demandNothing(of)
      }
    },
    check () {
      mourn()

      for (const { name, ...event } of server.app.events) {
        if (name === 'reuse' && !replayed.has((event as { sessionId: string }).sessionId)) {
          blame(`reuse of ${JSON.stringify(event)}`)
        }
      }

      if (violations.length > 0) {
        throw new Error(violations.join('\n'))
      }
    },
    close () {
      for (const { tabs } of devices) {
        for (const { client } of tabs) {
          client.dispose()
        }
      }
    }
  }
}
