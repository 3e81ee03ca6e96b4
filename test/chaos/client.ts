// Honest clients: browsers, the tabs of which share a storage and do not wait for each other.

import { setTimeout as sleep } from 'node:timers/promises'
import { PASSWORD } from '../helpers/app.js'
import type { TokenResponse } from '../../src/protocol.js'
import { isUnsettled } from './http.js'
import type { Answer } from './http.js'
import type { Random } from '../../src/testing/index.js'
import { pause } from './pause.js'
import { GRACE } from './settings.js'
import { claimsOf, SignedIn } from './world.js'
import type { World } from './world.js'

export class Browser {
  readonly userId: string
  /** As many as it has tabs. */
  readonly clients: readonly Client[]
  /** `null` while it is being signed in. */
  session: SignedIn | null = null
  /** Until when the lid is closed; then all tabs wake up at once. */
  asleepUntil = 0
  readonly #world: World
  readonly #random: Random
  #signingIn: Promise<void> | undefined

  constructor (world: World, random: Random, userId: string, tabs: number) {
    this.#world = world
    this.#random = random
    this.userId = userId
    this.clients = Array.from({ length: tabs }, () => new Client(world, random.fork(), this))
  }

  /** Waits until the lid is open. @returns Whether it was closed. */
  async sleep (): Promise<boolean> {
    const time = this.asleepUntil - Date.now()

    if (time > 0) {
      await sleep(time)
    }

    return time > 0
  }

  /** Signs in, or joins the tab that is at it. */
  signIn (): Promise<void> {
    this.#signingIn ??= this.#world.inTurn(this.userId, () => this.#signIn()).finally(() => {
      this.#signingIn = undefined
    })
    return this.#signingIn
  }

  /** Ends its session. Whoever is not answered asks again. */
  async signOut (): Promise<void> {
    await this.#world.inTurn(this.userId, async () => {
      const { session } = this

      if (session?.state !== 'live') {
        return
      }

      session.state = 'ending'
      await this.#end(session)
    })
  }

  /** Ends all sessions of its user. */
  async signOutEverywhere (): Promise<void> {
    await this.#world.inTurn(this.userId, async () => {
      const { session } = this

      if (session?.state !== 'live') {
        return
      }

      const sessions = [...this.#world.sessions.values()].filter(each =>
        each.userId === this.userId && each.state === 'live'
      )

      for (const each of sessions) {
        each.state = 'ending'
      }

      const answer = await this.#insist(session, '/auth/logout/all', { bearer: session.access })

      // An attempt that was not answered has got through, and who knows how far.
      if (answer.status === 401 && answer.code === 'AUTH_SESSION_REVOKED') {
        for (const each of sessions) {
          await this.#end(each)
        }
      } else if (answer.status === 204) {
        for (const each of sessions) {
          this.#ended(each)
        }
      } else {
        this.#world.find(`logout of all answered ${answer.status} ${answer.code}`, session)
      }
    })
  }

  async #end (session: SignedIn): Promise<void> {
    const answer = await this.#insist(session, '/auth/logout', {
      body: { refresh_token: session.newest }
    })

    if (answer.status !== 204) {
      this.#world.find(`logout answered ${answer.status} ${answer.code}`, session)
    }

    this.#ended(session)
  }

  #ended (session: SignedIn): void {
    session.state = 'ended'
    session.endedAt = Date.now()
    this.#world.count('sessions ended')
  }

  async #insist (
    session: SignedIn,
    path: string,
    request: { readonly bearer?: string, readonly body?: object }
  ): Promise<Answer> {
    for (;;) {
      const answer = await this.#world.ask(this.#random, path, { method: 'POST', ...request })
      session.note(`client: ${path} ${answer.status} ${answer.code ?? ''}`)

      if (!isUnsettled(answer)) {
        return answer
      }

      await pause(this.#random, 50, 250)
    }
  }

  async #signIn (): Promise<void> {
    if (this.session !== null && this.session.state !== 'ended') {
      return
    }

    for (;;) {
      const answer = await this.#world.ask(this.#random, '/auth/login', {
        method: 'POST',
        body: { username: this.userId, password: PASSWORD }
      })

      if (answer.status === 200) {
        this.session = new SignedIn(this.userId, answer.body as TokenResponse)
        this.#world.sessions.set(this.session.id, this.session)
        return
      }

      if (!isUnsettled(answer)) {
        this.#world.find(
          `login answered ${answer.status} ${answer.code}`,
          this.session ?? undefined
        )
      }

      await pause(this.#random, 50, 250)
    }
  }
}

export class Client {
  readonly #world: World
  readonly #random: Random
  readonly #browser: Browser

  constructor (world: World, random: Random, browser: Browser) {
    this.#world = world
    this.#random = random
    this.#browser = browser
  }

  async run (): Promise<void> {
    while (!this.#world.over) {
      await pause(this.#random, 20, 400)
      const hasSlept = await this.#browser.sleep()
      const { session } = this.#browser

      if (session === null || session.state === 'ended') {
        if (session !== null) {
          await this.refresh(session)
        }

        await pause(this.#random, 20, 400)
        await this.#browser.signIn()
      } else if (hasSlept || this.#random.chance(0.5)) {
        await this.refresh(session)
      } else {
        await this.#visit(session)
      }
    }
  }

  /** Refreshes with the newest token in the storage until it is told what came of it. */
  async refresh (session: SignedIn): Promise<void> {
    let token = this.#isSlow(session) ? session.previous as string : session.newest

    for (;;) {
      const before = session.state
      // Some clients go away before they are answered: a tunnel, a closed lid.
      const goesAway = this.#random.chance(0.05)
      const timeout = goesAway ? { timeout: this.#random.between(1, 30) } : {}
      const answer = await this.#world.ask(this.#random, '/auth/refresh', {
        method: 'POST',
        body: { refresh_token: token },
        ...timeout
      })
      const presented = claimsOf(token).gen
      session.note(
        `client: refresh with ${presented}: ${answer.status} ${answer.code ?? ''} after ${
          Math.round(answer.took)
        } ms`
      )

      if (!isUnsettled(answer)) {
        return this.#settle(session, presented, before, answer)
      }

      if (goesAway && this.#random.chance(0.5)) {
        this.#browser.asleepUntil = Date.now() + this.#random.between(GRACE, 1.5 * GRACE)
      }

      if (!await this.#browser.sleep()) {
        await pause(this.#random, 30, 250)
      }

      token = session.newest
    }
  }

  #settle (
    session: SignedIn,
    presented: number,
    before: SignedIn['state'],
    { status, code, body, took }: Answer
  ): void {
    if (status === 200) {
      const answer = body as TokenResponse
      const { sid, gen } = claimsOf(answer.refresh_token as string)
      this.#world.count('refreshes')
      this.#world.refreshTimes.push(took)

      if (before === 'ended') {
        this.#world.find('a session was refreshed after its logout was answered', session)
      }

      if (sid !== session.id || (gen !== presented && gen !== presented + 1)) {
        this.#world.find(`generation ${presented} was answered with ${gen} of ${sid}`, session)
      }

      session.adopt(answer)
    } else if (status !== 401 || code !== 'AUTH_REFRESH_REVOKED' || session.state === 'live') {
      this.#world.find(
        `a refresh of a session that is ${session.state} was answered ${status} ${code}`,
        session
      )
    }
  }

  // A tab that has read the storage before its sibling wrote to it. Half of the grace is for the
  // way.
  #isSlow ({ previous, rotatedAt }: SignedIn): boolean {
    return previous !== null && Date.now() - rotatedAt < GRACE / 2 && this.#random.chance(0.3)
  }

  async #visit (session: SignedIn): Promise<void> {
    const { status, code } = await this.#world.ask(this.#random, '/protected', {
      method: 'GET',
      bearer: session.access
    })
    const isFine = status === 200 || typeof status === 'string' || status === 503 ||
      (status === 401 && code === 'AUTH_SESSION_REVOKED' && session.state !== 'live')

    if (!isFine) {
      this.#world.find(
        `a visit of a session that is ${session.state} was answered ${status} ${code}`,
        session
      )
    }
  }
}
