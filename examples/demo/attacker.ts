import { randomUUID } from 'node:crypto'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { TokenAuthEvents, TokenResponse } from 'fastify-token-auth'

type ReuseEvent = TokenAuthEvents['reuse']

/** A stolen refresh token, and what became of it. */
interface Theft {
  /** The newest token that the attacker has. */
  refreshToken: string
  readonly sessionId: string
  event: ReuseEvent | null
}

/** Body of `POST /attacker/:id/refresh`. Contains no token. */
interface AttackerResponse {
  readonly status: number
  readonly code: string | null
  /** Generation of the tokens that the attacker got. */
  readonly generation: number | null
  /** Whether the attacker got the refresh token that it had presented. */
  readonly isSameToken: boolean
}

const MAX_THEFTS = 100
/** Address for documentation (RFC 5737), so that the attacker does not look like this machine. */
const ATTACKER_ADDRESS = '203.0.113.7'
const ATTACKER_AGENT = 'attacker/1.0'

/**
 * Plays an attacker who has copied the refresh token of a browser.
 *
 * No script can read the cookie of the refresh token. So the server of the demo makes the copy, as
 * malware on the computer of the user would. Never add such routes to an app.
 */
export class Attacker {
  readonly #thefts = new Map<string, Theft>()

  /** Saves an event of a stolen session for the page. A listener of the event `reuse`. */
  readonly recordReuse = (event: ReuseEvent): void => {
    for (const theft of this.#thefts.values()) {
      if (theft.sessionId === event.sessionId) {
        theft.event ??= event
      }
    }
  }

  /**
   * Adds the routes of the attacker.
   *
   * @param grace - Grace period of a rotated refresh token in milliseconds, for the page.
   */
  addRoutes (app: FastifyInstance, grace: number): void {
    app.post('/attacker', async (request, reply) => {
      const refreshToken = readRefreshCookie(request)

      if (refreshToken === null) {
        return reply.code(409).send({ message: 'There is no refresh token to steal' })
      }

      const id = randomUUID()
      const { sid: sessionId } = readClaims(refreshToken)
      this.#thefts.set(id, { refreshToken, sessionId, event: null })

      if (this.#thefts.size > MAX_THEFTS) {
        this.#thefts.delete([...this.#thefts.keys()][0] as string)
      }

      return reply.code(201).send({ id, grace })
    })

    app.post<{ Params: { id: string } }>('/attacker/:id/refresh', async ({ params }, reply) => {
      const theft = this.#thefts.get(params.id)
      return theft === undefined ? reply.callNotFound() : refresh(app, theft)
    })

    app.get<{ Params: { id: string } }>('/attacker/:id', async ({ params }, reply) => {
      const theft = this.#thefts.get(params.id)
      return theft === undefined ? reply.callNotFound() : { event: theft.event }
    })
  }
}

/** Refreshes with the stolen token, and calls a protected route with the new access token. */
async function refresh (app: FastifyInstance, theft: Theft): Promise<AttackerResponse> {
  const presented = theft.refreshToken
  const response = await app.inject({
    method: 'POST',
    url: '/auth/refresh',
    remoteAddress: ATTACKER_ADDRESS,
    headers: { 'user-agent': ATTACKER_AGENT },
    payload: { refresh_token: presented }
  })

  if (response.statusCode !== 200) {
    const { code } = response.json<{ code: string }>()
    return { status: response.statusCode, code, generation: null, isSameToken: false }
  }

  const tokens = response.json<TokenResponse>()
  theft.refreshToken = tokens.refresh_token ?? presented
  // The server then knows that the new tokens have arrived.
  await app.inject({
    url: '/protected',
    remoteAddress: ATTACKER_ADDRESS,
    headers: { 'user-agent': ATTACKER_AGENT, authorization: `Bearer ${tokens.access_token}` }
  })

  return {
    status: 200,
    code: null,
    generation: readClaims(tokens.access_token).gen,
    isSameToken: theft.refreshToken === presented
  }
}

/** Reads the refresh token from its cookie, which has a prefix if it is `Secure`. */
function readRefreshCookie ({ headers }: FastifyRequest): string | null {
  return /(?:^|; ?)(?:__Host-)?auth-refresh=([^;]+)/.exec(headers.cookie ?? '')?.[1] ?? null
}

function readClaims (token: string): { readonly sid: string, readonly gen: number } {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
}
