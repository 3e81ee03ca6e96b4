// Access tokens that another service has issued, in use: admitted by asking it (RFC 7662). An answer is believed for a short
// time, after which a session that was ended there is refused here.

import { ACCESS_TYP } from '../tokens/access-token.js'
import { decodeHeader, isRecord, isSameType } from '../tokens/jwt-codec.js'
import type { Claims } from '../tokens/jwt-codec.js'
import { TokenAuthError } from '../errors.js'
import { readRemoteToken } from './jwks-verifier.js'
import type { AccessTokenVerifier, RemoteToken } from './jwks-verifier.js'
import { TokenCache } from '../tokens/token-cache.js'
import type { Millis } from '../lib/time.js'

export interface IntrospectionVerifierContext {
  readonly uri: URL
  readonly clientId: string
  readonly clientSecret: string
  readonly issuer: string
  readonly audience: string
  /** How long an answer is believed. */
  readonly maxAge: Millis
  /** How many answers are remembered. */
  readonly cacheSize: number
  /** How long the issuer may take. */
  readonly timeout: Millis
  readonly clock: () => Millis
  /** Is told why it could not be asked: the name and code of an error, or a status; nothing else that was sent or received. */
  readonly onFailure: (cause: string) => void
}

interface CachedResponse extends RemoteToken {
  /** The token that it is about. */
  readonly text: string
  readonly askedAt: Millis
}

interface PendingRequest {
  readonly askedAt: Millis
  readonly answer: Promise<CachedResponse>
}

/** */
export class IntrospectionVerifier implements AccessTokenVerifier {
  readonly #context: IntrospectionVerifierContext
  readonly #answers: TokenCache<CachedResponse>
  readonly #authorization: string
  readonly #underWay = new Map<string, PendingRequest>()

  constructor (context: IntrospectionVerifierContext) {
    this.#context = context
    this.#answers = new TokenCache(context.cacheSize)
    const credentials = [context.clientId, context.clientSecret].map(encodeURIComponent).join(':')
    this.#authorization = `Basic ${Buffer.from(credentials).toString('base64')}`
  }

  recall (token: string): RemoteToken | null {
    const answer = this.#answers.get(token)
    const now = this.#context.clock()

    if (answer === undefined || !this.#isRecent(answer, now)) {
      return null
    }

    if (now >= answer.auth.expiresAt) {
      throw new TokenAuthError('AUTH_ACCESS_EXPIRED')
    }

    return answer
  }

  /** Of those who ask at once for one token, one asks: an answer that is on its way is believed as long as one that has come. */
  async verify (token: string): Promise<RemoteToken> {
    // What does not even say that it is one of ours makes no question of it.
    if (!isSameType(decodeHeader(token)?.typ, ACCESS_TYP)) {
      throw new TokenAuthError('AUTH_ACCESS_INVALID')
    }

    const askedAt = this.#context.clock()
    const underWay = this.#underWay.get(token)

    if (underWay !== undefined && this.#isRecent(underWay, askedAt)) {
      return underWay.answer
    }

    const question = { askedAt, answer: this.#ask(token, askedAt) }
    this.#underWay.set(token, question)

    try {
      return await question.answer
    } finally {
      if (this.#underWay.get(token) === question) {
        this.#underWay.delete(token)
      }
    }
  }

  // It is as old as the question, whenever the answer came.
  async #ask (token: string, askedAt: Millis): Promise<CachedResponse> {
    const { active, token_type: tokenType, ...claims } = await this.#introspect(token)

    if (active !== true) {
      throw new TokenAuthError('AUTH_ACCESS_INVALID')
    }

    const answer = {
      text: token,
      ...readRemoteToken(claims, this.#context.clock(), this.#context),
      askedAt
    }
    this.#answers.set(answer)
    return answer
  }

  #isRecent ({ askedAt }: { readonly askedAt: Millis }, now: Millis): boolean {
    return now >= askedAt && now - askedAt < this.#context.maxAge
  }

  async #introspect (token: string): Promise<Claims> {
    const { uri, timeout, onFailure } = this.#context

    try {
      const response = await fetch(uri, {
        method: 'POST',
        headers: { authorization: this.#authorization, accept: 'application/json' },
        body: new URLSearchParams({ token, token_type_hint: 'access_token' }),
        redirect: 'manual',
        signal: AbortSignal.timeout(timeout)
      })

      if (response.status !== 200) {
        await response.body?.cancel()
        throw new RangeError(`status ${response.status}`)
      }

      const answer: unknown = await response.json()

      if (!isRecord(answer) || typeof answer.active !== 'boolean') {
        throw new RangeError('it does not say whether the token is active')
      }

      return answer
    } catch (error) {
      onFailure(causeOf(error as Error))
      throw new TokenAuthError('AUTH_STORE_UNAVAILABLE')
    }
  }
}

// What JSON.parse says holds what it was given.
function causeOf (error: Error): string {
  if (error instanceof RangeError) {
    return error.message
  }

  const { code } = (error.cause ?? {}) as { readonly code?: unknown }
  return typeof code === 'string' ? `${error.name} ${code}` : error.name
}
