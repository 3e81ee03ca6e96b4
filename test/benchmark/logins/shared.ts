import { fileURLToPath } from 'node:url'

export const LOGIN_PATH = '/auth/login'

/** A route that verifies the same password hash and does nothing else. */
export const BASELINE_PATH = '/baseline-login'

/** A file for a route that reads a file. */
export const FILE_TO_READ = fileURLToPath(new URL('argon2-process.ts', import.meta.url))

/** Data for a route that uses WebCrypto. */
export const DATA_TO_DIGEST = Buffer.alloc(1024, 'data of the digest route')

/** User of the server. */
export interface Account {
  readonly username: string
  readonly password: string
  readonly hash: string
}

/** A server that listens. */
export interface LoginServer {
  readonly port: number
  readonly accounts: readonly Account[]
  /**
   * Accounts with hashes that are fast to verify.
   *
   * A server compiles its code after seconds of their logins, but after minutes of other logins.
   */
  readonly cheapAccounts: readonly Account[]
}

/** A route that is called while users log in. */
export interface Probe {
  readonly path: string
  /** Exact body of each response. `{id}` is replaced by the id of the user. */
  readonly expected: string
}

/** Load on a server. */
export interface LoginLoad {
  readonly server: LoginServer
  /** Path of the login route. @default LOGIN_PATH */
  readonly path?: string
  /** Number of connections that log in continuously. */
  readonly connections: number
  readonly probes: readonly Probe[]
  /** Number of logins to cheap accounts before the measurement. */
  readonly warmUpLogins?: number
  /** Time for each probe, or for the logins if there are no probes. */
  readonly ms: number
}

/** Latencies of a probe, in milliseconds. */
export interface ProbeLatency {
  readonly p50: number
  readonly p99: number
}

/** Result of a load. */
export interface LoginLoadResult {
  /** Logins per second, or `null` without connections. */
  readonly loginsPerSecond: number | null
  /** Latencies in the order of the probes. */
  readonly probes: readonly ProbeLatency[]
}

/** Load on argon2 alone. */
export interface HashLoad {
  readonly accounts: readonly Account[]
  readonly concurrency: number
  readonly ms: number
}

/** Returns a rate from times in milliseconds: the events between the first and the last one. */
export function getRatePerSecond (times: readonly number[]): number {
  const [first, last] = [times[0], times.at(-1)]

  if (first === undefined || last === undefined || times.length < 2) {
    throw new Error('Too few events for a rate; use a longer --ms')
  }

  return (times.length - 1) / (last - first) * 1000
}
