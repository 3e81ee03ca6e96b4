import { createHash, randomBytes } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'
import { getErrorCode } from './error-code.js'

/** Identity of a process that uses a lock. The name is unique. */
export interface Identity {
  readonly name: string
  /**
   * Whether the process that has this name has ended.
   *
   * `false` if that cannot be known, for example because the process runs on another host.
   */
  hasEnded(name: string): boolean
}

const NAME = /^([0-9a-f]{16})\.(\d+)\.[0-9a-f]{16}$/

/** Creates a new identity of this process. */
export function createIdentity (
  host: string = getHost(),
  pid: number = process.pid
): Identity {
  return {
    name: `${host}.${pid}.${randomBytes(8).toString('hex')}`,
    hasEnded (name) {
      const [, otherHost, otherPid] = NAME.exec(name) ?? []
      return otherHost === host && !isRunning(Number(otherPid))
    }
  }
}

/**
 * Identifies the set of processes among which a process ID is unique.
 *
 * Containers that share a folder may have the same host name and the same process IDs.
 */
function getHost (): string {
  const parts = [
    hostname(),
    attempt(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8')),
    attempt(() => readlinkSync('/proc/self/ns/pid'))
  ]
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16)
}

/** Runs a function that works on Linux only. */
function attempt (read: () => string): string {
  try {
    return read()
  } catch {
    return ''
  }
}

function isRunning (pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // EPERM: the process runs as another user.
    return getErrorCode(error) !== 'ESRCH'
  }
}
