// What the processes of the benchmark of logins have to agree on.

import { fileURLToPath } from 'node:url'

export const loginPath = '/auth/login'

/** A login by hand that only checks the same hash: what HTTP alone costs beside it. */
export const barePath = '/bare-login'

/** Any file of a few kilobytes. */
export const fileRead = fileURLToPath(import.meta.url)

export const digested = Buffer.alloc(1024, 'what WebCrypto digests')

export interface Account {
  readonly username: string
  readonly password: string
  readonly hash: string
}

export interface ServerReady {
  readonly port: number
  readonly accounts: readonly Account[]
  /** Accounts whose hashes cost next to nothing: a server is warm after seconds of logins to them, and minutes of others. */
  readonly cheap: readonly Account[]
}

/** A route that is asked while logins go on. */
export interface Probe {
  readonly path: string
  /** What each answer must be, to the letter. */
  readonly expected: string
}

export interface LoadOrder extends ServerReady {
  /** Where logins go; {@link loginPath} by default. */
  readonly path?: string
  /** How many connections log in, for ever. */
  readonly logins: number
  readonly probes: readonly Probe[]
  /** How many logins to the cheap accounts come first. */
  readonly warmUp?: number
  /** How long each probe goes on, or the logins where there is none. */
  readonly ms: number
}

export interface LoadResult {
  /** Logins a second; `null` where nobody logs in. */
  readonly logins: number | null
  /** Of each probe, in milliseconds. */
  readonly probes: ReadonlyArray<{ readonly p50: number, readonly p99: number }>
}

export interface HashOrder {
  readonly accounts: readonly Account[]
  readonly atOnce: number
  readonly ms: number
}
