// Access tokens that another service has issued, in use: admitted by asking it (RFC 7662). An answer is believed for a short
// time, after which a session that was ended there is refused here.

import { isRecord } from '../credentials/jwt.js'
import type { Claims } from '../credentials/jwt.js'
import type { Millis } from '../domain/session.js'
import { TokenAuthError } from '../errors.js'
import { readForeigner } from './remote-access.js'
import type { ForeignAccess, Foreigner } from './remote-access.js'
import { TextMap } from './text-map.js'

export interface IntrospectedAccessContext {
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
  /** Is told why it could not be asked: nothing that was sent or received. */
  readonly onFailure: (cause: string) => void
}

interface Answer extends Foreigner {
  readonly askedAt: Millis
}

export class IntrospectedAccess implements ForeignAccess {
  readonly #context: IntrospectedAccessContext
  readonly #answers: TextMap<Answer>
  readonly #authorization: string
  readonly #underWay = new Map<string, Promise<Answer>>()

  constructor (context: IntrospectedAccessContext) {
    this.#context = context
    this.#answers = new TextMap(context.cacheSize)
    const credentials = [context.clientId, context.clientSecret].map(encodeURIComponent).join(':')
    this.#authorization = `Basic ${Buffer.from(credentials).toString('base64')}`
  }

  recall (token: string): Foreigner | null {
    const answer = this.#answers.get(token)
    const now = this.#context.clock()
    if (answer === undefined || now < answer.askedAt || now - answer.askedAt >= this.#context.maxAge) return null
    if (now >= answer.auth.expiresAt) throw new TokenAuthError('AUTH_ACCESS_EXPIRED')
    return answer
  }

  /** Of those who ask at once for one token, one asks. */
  verify (token: string): Promise<Foreigner> {
    let asking = this.#underWay.get(token)
    if (asking === undefined) {
      asking = this.#ask(token).finally(() => { this.#underWay.delete(token) })
      this.#underWay.set(token, asking)
    }
    return asking
  }

  // It is as old as the question, whenever the answer came.
  async #ask (token: string): Promise<Answer> {
    const askedAt = this.#context.clock()
    const { active, token_type: tokenType, ...claims } = await this.#introspect(token)
    if (active !== true) throw new TokenAuthError('AUTH_ACCESS_INVALID')
    const answer = { ...readForeigner(claims, this.#context.clock(), this.#context), askedAt }
    this.#answers.set(token, answer)
    return answer
  }

  async #introspect (token: string): Promise<Claims> {
    const { uri, timeout, onFailure } = this.#context
    try {
      const response = await fetch(uri, {
        method: 'POST',
        headers: { authorization: this.#authorization, accept: 'application/json' },
        body: new URLSearchParams({ token, token_type_hint: 'access_token' }),
        redirect: 'error',
        signal: AbortSignal.timeout(timeout)
      })
      const answer: unknown = response.status === 200 ? await response.json() : null
      if (!isRecord(answer) || typeof answer.active !== 'boolean') throw new Error(`status ${response.status}`)
      return answer
    } catch (error) {
      const { name, message } = error as Error
      onFailure(name === 'Error' ? message : name)
      throw new TokenAuthError('AUTH_STORE_UNAVAILABLE')
    }
  }
}
