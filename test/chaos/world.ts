import type { TokenResponse } from '../../src/protocol.js'
import { send } from './http.js'
import type { ClientResponse, Request } from './http.js'
import type { Random } from '../../src/testing/index.js'
import type { Server, ServerEvent } from './servers.js'
import { CLIENT_TIMEOUT } from './settings.js'

const MAX_HISTORY = 25
const MAX_FINDINGS = 8

/** Session as its clients see it. */
export class TrackedSession {
  readonly id: string
  readonly userId: string
  /** Newest refresh token in the storage of the clients. */
  refreshToken: string
  generation: number
  rotatedAt: number
  previousRefreshToken: string | null = null
  accessToken: string
  /** `ending` after a logout is sent, `ended` after its response. */
  state: 'live' | 'ending' | 'ended' = 'live'
  endedAt = Infinity
  /** Whether a finding about this session exists. */
  isSuspect = false
  /** Last 25 events of clients and servers. */
  readonly history: string[] = []

  constructor (
    userId: string,
    { access_token: access = '', refresh_token: token = '' }: TokenResponse
  ) {
    const { sid, gen, iat } = readClaims(token)
    this.id = sid
    this.userId = userId
    this.refreshToken = token
    this.generation = gen
    this.rotatedAt = iat * 1000
    this.accessToken = access
  }

  /** Saves tokens in the storage, unless another tab has saved newer tokens. */
  saveTokens ({ access_token: access = '', refresh_token: token = '' }: TokenResponse): void {
    const { gen, iat } = readClaims(token)

    if (gen < this.generation) {
      return
    }

    if (gen > this.generation) {
      this.previousRefreshToken = this.refreshToken
    }

    this.refreshToken = token
    this.generation = gen
    this.rotatedAt = iat * 1000
    this.accessToken = access
  }

  note (message: string): void {
    this.history.push(`${formatTime(Date.now())} ${message}`)

    if (this.history.length > MAX_HISTORY) {
      this.history.shift()
    }
  }
}

/** State that all actors of a run share. */
export class World {
  readonly random: Random
  readonly sessions = new Map<string, TrackedSession>()
  readonly counts = new Map<string, number>()
  readonly refreshTimes: number[] = []
  /** Violations of requirements. */
  readonly findings: string[] = []
  servers: readonly Server[] = []
  /** Time of the last start of the engine, or `Infinity` while it is down. */
  engineUpSince = 0
  isOver = false
  #abandoned = false
  readonly #rotations = new Set<string>()
  readonly #turns = new Map<string, Promise<unknown>>()

  constructor (random: Random) {
    this.random = random
  }

  /** Stops all actors immediately, because the servers are gone. */
  abandon (): void {
    this.isOver = true
    this.#abandoned = true
  }

  count (name: string, by = 1): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + by)
  }

  reportFinding (message: string, session?: TrackedSession): void {
    // The first finding about a session may cause others.
    if (session?.isSuspect) {
      return
    }

    if (session !== undefined) {
      session.isSuspect = true
    }

    if (this.findings.length < MAX_FINDINGS) {
      this.findings.push([message, ...session?.history ?? []].join('\n      '))
    } else if (this.findings.length === MAX_FINDINGS) {
      this.findings.push('... and more')
    }
  }

  /** Sends a request to a random server, and counts the outcome. */
  async sendRequest (
    random: Random,
    path: string,
    request: Omit<Request, 'timeout'> & { readonly timeout?: number }
  ): Promise<ClientResponse> {
    if (this.#abandoned) {
      throw new Error('the run has ended')
    }

    const response = await send(`${random.pick(this.servers).url}${path}`, {
      timeout: CLIENT_TIMEOUT,
      ...request
    })
    this.count(
      request.timeout !== undefined && response.status === 'late'
        ? 'aborted'
        : typeof response.status === 'number' && response.status < 500
        ? 'responses'
        : String(response.status)
    )

    if (response.status === 503 && !/^AUTH_(STORE_UNAVAILABLE|BUSY)$/.test(response.code ?? '')) {
      this.reportFinding(`503 with ${response.code}`)
    }

    return response
  }

  /** Runs one login or logout of a user at a time. */
  async runInTurn<T> (userId: string, work: () => Promise<T>): Promise<T> {
    const turn = (this.#turns.get(userId) ?? Promise.resolve()).then(work)
    this.#turns.set(userId, turn.catch(() => {}))
    return turn
  }

  recordEvent ({ event, ...facts }: ServerEvent): void {
    this.count(event)
    const session = this.sessions.get(String(facts.sessionId))
    const { at, generation, presented, rotated } = facts
    session?.note(
      `server: ${event} ${
        JSON.stringify({ at: formatTime(Number(at)), generation, presented, rotated })
      }`
    )

    if (event === 'rotated') {
      const rotation = `generation ${String(facts.generation)} of ${String(facts.sessionId)}`

      if (this.#rotations.has(rotation)) {
        this.reportFinding(`rotated twice: ${rotation}`, session)
      }

      this.#rotations.add(rotation)
    }

    if (event === 'sweep') {
      this.count('swept', Number(facts.deleted))
    }

    if (/^(reuse|suspicious-replay|store-rolled-back|session-missing|clock-skew)$/.test(event)) {
      this.reportFinding(`a server reported ${event}`, session)
    }
  }
}

export function readClaims (
  token: string
): { readonly sid: string, readonly gen: number, readonly iat: number } {
  const [, payload] = token.split('.') as [string, string]
  return JSON.parse(Buffer.from(payload, 'base64url').toString()) as ReturnType<typeof readClaims>
}

function formatTime (at: number): string {
  return new Date(at).toISOString().slice(17, 23)
}
