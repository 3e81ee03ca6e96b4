import { setTimeout as sleep } from 'node:timers/promises'
import { PASSWORD } from '../helpers/app.js'
import type { TokenResponse } from '../../src/protocol.js'
import { isUnsettled } from './http.js'
import type { ClientResponse } from './http.js'
import type { Random } from '../../src/testing/index.js'
import { pause } from './pause.js'
import { GRACE } from './settings.js'
import { readClaims, TrackedSession } from './world.js'
import type { World } from './world.js'

/** Simulates a browser. Its tabs share storage and refresh concurrently. */
export class Browser {
  readonly userId: string
  readonly tabs: readonly Tab[]
  /** `null` before the first login. */
  session: TrackedSession | null = null
  /** Time when a sleeping device wakes all tabs together. */
  asleepUntil = 0
  readonly #world: World
  readonly #random: Random
  #pendingLogin: Promise<void> | undefined

  constructor (world: World, random: Random, userId: string, tabs: number) {
    this.#world = world
    this.#random = random
    this.userId = userId
    this.tabs = Array.from({ length: tabs }, () => new Tab(world, random.fork(), this))
  }

  /**
   * Waits while the device sleeps.
   *
   * @returns Whether it slept.
   */
  async waitWhileAsleep (): Promise<boolean> {
    const time = this.asleepUntil - Date.now()

    if (time > 0) {
      await sleep(time)
    }

    return time > 0
  }

  /** Logs in. Concurrent calls share one login. */
  login (): Promise<void> {
    this.#pendingLogin ??= this.#world.runInTurn(this.userId, () => this.#login()).finally(() => {
      this.#pendingLogin = undefined
    })
    return this.#pendingLogin
  }

  /** Logs out, and retries until the outcome is known. */
  async logout (): Promise<void> {
    await this.#world.runInTurn(this.userId, async () => {
      const { session } = this

      if (session?.state !== 'live') {
        return
      }

      session.state = 'ending'
      await this.#logOut(session)
    })
  }

  /** Revokes all sessions of the user. */
  async logoutEverywhere (): Promise<void> {
    await this.#world.runInTurn(this.userId, async () => {
      const { session } = this

      if (session?.state !== 'live') {
        return
      }

      const userSessions = [...this.#world.sessions.values()].filter(other =>
        other.userId === this.userId && other.state === 'live'
      )

      for (const userSession of userSessions) {
        userSession.state = 'ending'
      }

      const response = await this.#retryUntilSettled(session, '/auth/logout/all', {
        bearer: session.accessToken
      })

      // A previous attempt without a response has revoked some of the sessions.
      if (response.status === 401 && response.code === 'AUTH_SESSION_REVOKED') {
        for (const userSession of userSessions) {
          await this.#logOut(userSession)
        }
      } else if (response.status === 204) {
        for (const userSession of userSessions) {
          this.#markEnded(userSession)
        }
      } else {
        const { status, code } = response
        this.#world.reportFinding(`logout of all sessions returned ${status} ${code}`, session)
      }
    })
  }

  async #logOut (session: TrackedSession): Promise<void> {
    const response = await this.#retryUntilSettled(session, '/auth/logout', {
      body: { refresh_token: session.refreshToken }
    })

    if (response.status !== 204) {
      this.#world.reportFinding(`logout returned ${response.status} ${response.code}`, session)
    }

    this.#markEnded(session)
  }

  #markEnded (session: TrackedSession): void {
    session.state = 'ended'
    session.endedAt = Date.now()
    this.#world.count('logouts')
  }

  async #retryUntilSettled (
    session: TrackedSession,
    path: string,
    request: { readonly bearer?: string, readonly body?: object }
  ): Promise<ClientResponse> {
    for (;;) {
      const response = await this.#world.sendRequest(this.#random, path, {
        method: 'POST',
        ...request
      })
      session.note(`client: ${path} ${response.status} ${response.code ?? ''}`)

      if (!isUnsettled(response)) {
        return response
      }

      await pause(this.#random, 50, 250)
    }
  }

  async #login (): Promise<void> {
    if (this.session !== null && this.session.state !== 'ended') {
      return
    }

    for (;;) {
      const response = await this.#world.sendRequest(this.#random, '/auth/login', {
        method: 'POST',
        body: { username: this.userId, password: PASSWORD }
      })

      if (response.status === 200) {
        this.session = new TrackedSession(this.userId, response.body as TokenResponse)
        this.#world.sessions.set(this.session.id, this.session)
        return
      }

      if (!isUnsettled(response)) {
        this.#world.reportFinding(
          `login returned ${response.status} ${response.code}`,
          this.session ?? undefined
        )
      }

      await pause(this.#random, 50, 250)
    }
  }
}

/** Simulates a tab that refreshes and calls a protected route in a loop. */
export class Tab {
  readonly #world: World
  readonly #random: Random
  readonly #browser: Browser

  constructor (world: World, random: Random, browser: Browser) {
    this.#world = world
    this.#random = random
    this.#browser = browser
  }

  async run (): Promise<void> {
    while (!this.#world.isOver) {
      await pause(this.#random, 20, 400)
      const hasSlept = await this.#browser.waitWhileAsleep()
      const { session } = this.#browser

      if (session === null || session.state === 'ended') {
        if (session !== null) {
          await this.refresh(session)
        }

        await pause(this.#random, 20, 400)
        await this.#browser.login()
      } else if (hasSlept || this.#random.chance(0.5)) {
        await this.refresh(session)
      } else {
        await this.#callProtected(session)
      }
    }
  }

  /** Refreshes with the newest token in the storage until the outcome is known. */
  async refresh (session: TrackedSession): Promise<void> {
    let token = this.#readsOldToken(session)
      ? session.previousRefreshToken as string
      : session.refreshToken

    for (;;) {
      const before = session.state
      // Some clients lose the connection before the response.
      const isAborted = this.#random.chance(0.05)
      const timeout = isAborted ? { timeout: this.#random.between(1, 30) } : {}
      const response = await this.#world.sendRequest(this.#random, '/auth/refresh', {
        method: 'POST',
        body: { refresh_token: token },
        ...timeout
      })
      const presented = readClaims(token).gen
      session.note(
        `client: refresh with ${presented}: ${response.status} ${response.code ?? ''} after ${
          Math.round(response.duration)
        } ms`
      )

      if (!isUnsettled(response)) {
        return this.#settle(session, presented, before, response)
      }

      if (isAborted && this.#random.chance(0.5)) {
        this.#browser.asleepUntil = Date.now() + this.#random.between(GRACE, 1.5 * GRACE)
      }

      if (!await this.#browser.waitWhileAsleep()) {
        await pause(this.#random, 30, 250)
      }

      token = session.refreshToken
    }
  }

  #settle (
    session: TrackedSession,
    presented: number,
    before: TrackedSession['state'],
    { status, code, body, duration }: ClientResponse
  ): void {
    if (status === 200) {
      const response = body as TokenResponse
      const { sid, gen } = readClaims(response.refresh_token as string)
      this.#world.count('refreshes')
      this.#world.refreshTimes.push(duration)

      if (before === 'ended') {
        this.#world.reportFinding('refresh succeeded after the logout was complete', session)
      }

      if (sid !== session.id || (gen !== presented && gen !== presented + 1)) {
        this.#world.reportFinding(`generation ${presented} returned ${gen} of ${sid}`, session)
      }

      session.saveTokens(response)
    } else if (status !== 401 || code !== 'AUTH_REFRESH_REVOKED' || session.state === 'live') {
      this.#world.reportFinding(
        `refresh of a session that is ${session.state} returned ${status} ${code}`,
        session
      )
    }
  }

  // The tab has read the storage before another tab wrote to it. The request may take half of the
  // grace period.
  #readsOldToken ({ previousRefreshToken, rotatedAt }: TrackedSession): boolean {
    return previousRefreshToken !== null && Date.now() - rotatedAt < GRACE / 2 &&
      this.#random.chance(0.3)
  }

  async #callProtected (session: TrackedSession): Promise<void> {
    const { status, code } = await this.#world.sendRequest(this.#random, '/protected', {
      method: 'GET',
      bearer: session.accessToken
    })
    const isExpected = status === 200 || typeof status === 'string' || status === 503 ||
      (status === 401 && code === 'AUTH_SESSION_REVOKED' && session.state !== 'live')

    if (!isExpected) {
      this.#world.reportFinding(
        `call with a session that is ${session.state} returned ${status} ${code}`,
        session
      )
    }
  }
}
