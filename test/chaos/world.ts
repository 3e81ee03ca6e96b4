// What all actors of a run share: the servers, the sessions, and the book of what was seen.

import type { TokenResponse } from '../../src/protocol.js'
import { send } from './http.js'
import type { Answer, Request } from './http.js'
import type { Random } from '../../src/testing/index.js'
import type { Server, ServerEvent } from './servers.js'
import { CLIENT_TIMEOUT } from './settings.js'

const REMEMBERED = 25
const REPORTED = 8

/** A session as its clients and its user know it. */
export class SignedIn {
  readonly id: string
  readonly userId: string
  /** What the storage of its clients holds. */
  newest: string
  generation: number
  rotatedAt: number
  previous: string | null = null
  access: string
  /** `ending` from the moment that a logout is sent, `ended` from its answer on. */
  state: 'live' | 'ending' | 'ended' = 'live'
  endedAt = Infinity
  /** Something was found about it. */
  isSuspect = false
  /** The last that was said about it, by clients and by servers. */
  readonly history: string[] = []

  constructor (
    userId: string,
    { access_token: access = '', refresh_token: token = '' }: TokenResponse
  ) {
    const { sid, gen, iat } = claimsOf(token)
    this.id = sid
    this.userId = userId
    this.newest = token
    this.generation = gen
    this.rotatedAt = iat * 1000
    this.access = access
  }

  /** Puts an answer into the storage, unless another tab has put a newer one there. */
  adopt ({ access_token: access = '', refresh_token: token = '' }: TokenResponse): void {
    const { gen, iat } = claimsOf(token)

    if (gen < this.generation) {
      return
    }

    if (gen > this.generation) {
      this.previous = this.newest
    }

    this.newest = token
    this.generation = gen
    this.rotatedAt = iat * 1000
    this.access = access
  }

  note (what: string): void {
    this.history.push(`${timeOf(Date.now())} ${what}`)

    if (this.history.length > REMEMBERED) {
      this.history.shift()
    }
  }
}

export class World {
  readonly random: Random
  readonly sessions = new Map<string, SignedIn>()
  readonly counts = new Map<string, number>()
  readonly refreshTimes: number[] = []
  /** What must not have happened. */
  readonly findings: string[] = []
  servers: readonly Server[] = []
  /** Since when the engine has been there; `Infinity` while it is away. */
  engineSince = 0
  over = false
  #abandoned = false
  readonly #winners = new Set<string>()
  readonly #turns = new Map<string, Promise<unknown>>()

  constructor (random: Random) {
    this.random = random
  }

  /** Makes all actors stop where they are: there is nobody left who would answer them. */
  abandon (): void {
    this.over = true
    this.#abandoned = true
  }

  count (what: string, by = 1): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + by)
  }

  find (what: string, session?: SignedIn): void {
    // What follows from the first thing that went wrong with a session says nothing new.
    if (session?.isSuspect) {
      return
    }

    if (session !== undefined) {
      session.isSuspect = true
    }

    if (this.findings.length < REPORTED) {
      this.findings.push([what, ...session?.history ?? []].join('\n      '))
    } else if (this.findings.length === REPORTED) {
      this.findings.push('... and more')
    }
  }

  /** Sends a request to one of the servers, and counts what came of it. */
  async ask (
    random: Random,
    path: string,
    request: Omit<Request, 'timeout'> & { readonly timeout?: number }
  ): Promise<Answer> {
    if (this.#abandoned) {
      throw new Error('The run has ended.')
    }

    const answer = await send(`${random.pick(this.servers).url}${path}`, {
      timeout: CLIENT_TIMEOUT,
      ...request
    })
    this.count(
      request.timeout !== undefined && answer.status === 'late'
        ? 'hung up'
        : typeof answer.status === 'number' && answer.status < 500
        ? 'answers'
        : String(answer.status)
    )

    if (answer.status === 503 && !/^AUTH_(STORE_UNAVAILABLE|BUSY)$/.test(answer.code ?? '')) {
      this.find(`503 with ${answer.code}`)
    }

    return answer
  }

  /** Takes turns over the actors that sign one user in or out. */
  async inTurn<T> (userId: string, work: () => Promise<T>): Promise<T> {
    const turn = (this.#turns.get(userId) ?? Promise.resolve()).then(work)
    this.#turns.set(userId, turn.catch(() => {}))
    return turn
  }

  hear ({ event, ...facts }: ServerEvent): void {
    this.count(event)
    const session = this.sessions.get(String(facts.sessionId))
    const { at, generation, presented, rotated } = facts
    session?.note(
      `server: ${event} ${
        JSON.stringify({ at: timeOf(Number(at)), generation, presented, rotated })
      }`
    )

    if (event === 'rotated') {
      const swap = `generation ${String(facts.generation)} of ${String(facts.sessionId)}`

      if (this.#winners.has(swap)) {
        this.find(`two winners: ${swap}`, session)
      }

      this.#winners.add(swap)
    }

    if (event === 'sweep') {
      this.count('swept', Number(facts.deleted))
    }

    if (/^(reuse|store-rolled-back|clock-skew)$/.test(event)) {
      this.find(`a server tells of ${event}`, session)
    }
  }
}

export function claimsOf (
  token: string
): { readonly sid: string, readonly gen: number, readonly iat: number } {
  const [, payload] = token.split('.') as [string, string]
  return JSON.parse(Buffer.from(payload, 'base64url').toString()) as ReturnType<typeof claimsOf>
}

function timeOf (at: number): string {
  return new Date(at).toISOString().slice(17, 23)
}
