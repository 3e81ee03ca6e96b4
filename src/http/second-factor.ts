import type { onSendHookHandler } from 'fastify'
import { SecondFactorRequired } from '../login/second-factor.js'
import type { SecondFactorChallenge } from '../login/second-factor.js'

const challenges = new WeakMap<object, SecondFactorChallenge>()

/**
 * Waits for a login, and keeps the challenge of a second factor for {@link addChallenge}.
 *
 * @throws the error of the login.
 */
export async function keepChallenge<T> (request: object, login: Promise<T>): Promise<T> {
  try {
    return await login
  } catch (error) {
    if (error instanceof SecondFactorRequired) {
      challenges.set(request, error.challenge)
    }

    throw error
  }
}

/**
 * `onSend` hook that adds `ticket` and `methods` to the body of `AUTH_SECOND_FACTOR_REQUIRED`.
 *
 * Works on the body, because an error handler of the app may have created it.
 */
export const addChallenge: onSendHookHandler<unknown> = (request, _reply, payload, done) => {
  const challenge = challenges.get(request)
  const body = challenge === undefined || typeof payload !== 'string' ? null : parseObject(payload)

  if (challenge === undefined || body === null) {
    return done(null, payload)
  }

  const { ticket, methods } = challenge
  done(null, JSON.stringify({ ...body, ...(ticket !== null && { ticket }), methods }))
}

function parseObject (json: string): object | null {
  try {
    const value: unknown = JSON.parse(json)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : null
  } catch {
    return null
  }
}
