// What all metrics begin with, whichever library keeps them: events as they come through node:diagnostics_channel, the words
// that tell them apart, and a store that is timed. The words are few: each is a series that is kept, and that others may see.

import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { EventName, RevocationReason, TokenAuthEvents, TokenStore } from 'fastify-token-auth'

export type Verb = keyof TokenStore
/** `refused`: the store works, and that session must not be. */
export type Outcome = 'ok' | 'refused' | 'failed'
export type Observe = (verb: Verb, outcome: Outcome, seconds: number) => void

// By a record, since the compiler tells of a word that is missing in one.
const words = <Word extends string>(all: Record<Word, true>): readonly Word[] =>
  Object.keys(all) as Word[]

export const rejections = words<TokenAuthEvents['login-rejected']['reason']>({
  'unknown-user': true,
  'wrong-password': true,
  disabled: true,
  'no-password': true,
  'malformed-hash': true,
  'revoked-since': true
})
export const limits = words<TokenAuthEvents['login-throttled']['limit']>({
  account: true,
  address: true,
  device: true
})
export const revocationReasons = words<RevocationReason>({
  logout: true,
  'logout-all': true,
  revoked: true,
  reuse: true,
  'user-gone': true,
  replaced: true,
  'too-many': true,
  'password-changed': true,
  'suspicious-replay': true
})
export const refreshKinds = ['rotated', 'kept', 'replayed', 'recovered'] as const
export const reuseKinds = ['previous', 'older'] as const

export function reuseKind (
  { presented, rotated }: TokenAuthEvents['reuse']
): typeof reuseKinds[number] {
  return rotated.generation - presented.generation === 1 ? 'previous' : 'older'
}

/** In seconds. */
export const storeBuckets = [
  0.0005,
  0.001,
  0.0025,
  0.005,
  0.01,
  0.025,
  0.05,
  0.1,
  0.25,
  0.5,
  1,
  2.5,
  5
]

/** A subscriber that throws is an uncaught exception: so do nothing in it but counting. @returns What ends it. */
export function hear<Name extends EventName> (
  name: Name,
  listener: (event: TokenAuthEvents[Name]) => void
): () => void {
  const channel = `fastify-token-auth:${name}`

  const onMessage = (event: unknown): void => {
    listener(event as TokenAuthEvents[Name])
  }

  subscribe(channel, onMessage)

  return () => {
    unsubscribe(channel, onMessage)
  }
}

/** Seconds since it was renewed, or made. */
export class Age {
  #since = performance.now()

  get seconds (): number {
    return (performance.now() - this.#since) / 1000
  }

  renew (): void {
    this.#since = performance.now()
  }
}

/** The same store, and `observe` is told how long it took: also where the plugin's `storeTimeout` has given up before. */
export function timed (store: TokenStore, observe: Observe): TokenStore {
  const time = async <Answer>(verb: Verb, answer: () => Promise<Answer>): Promise<Answer> => {
    const began = performance.now()

    const tell = (outcome: Outcome): void => {
      observe(verb, outcome, (performance.now() - began) / 1000)
    }

    try {
      const answered = await answer()
      tell('ok')
      return answered
    } catch (error) {
      tell(error instanceof Error && error.name === 'SessionRefusedError' ? 'refused' : 'failed')
      throw error
    }
  }

  return {
    create: session => time('create', () => store.create(session)),
    rotate: attempt => time('rotate', () => store.rotate(attempt)),
    find: sessionId => time('find', () => store.find(sessionId)),
    list: (userId, page) => time('list', () => store.list(userId, page)),
    revoke: (target, revocation) => time('revoke', () => store.revoke(target, revocation)),
    touch: batch => time('touch', () => store.touch(batch)),
    revocations: (after, limit) => time('revocations', () => store.revocations(after, limit)),
    sweep: batch => time('sweep', () => store.sweep(batch))
  }
}
