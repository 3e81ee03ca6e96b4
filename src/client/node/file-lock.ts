import { lstat, mkdir, readdir, rename, rm, rmdir, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { getErrorCode } from './error-code.js'
import { createPrivateFolder } from './private-files.js'
import { createIdentity } from './process-identity.js'
import type { Identity } from './process-identity.js'

/** Lock between processes that share a folder. */
export interface FileLock {
  /**
   * Folder that exists exactly as long as this lock is held; `null` if it is not held.
   *
   * A rename from or into it fails with `ENOENT` after another process took over the lock. So check
   * and write are one step, which no pause of this process can separate.
   */
  readonly ownFolder: string | null
  /**
   * Runs work while no other process runs work.
   *
   * @throws the reason of the signal; errors of the file system
   */
  run<Result>(work: () => Promise<Result>, signal: AbortSignal): Promise<Result>
}

/** Time and identity of a lock. Replaced in tests. */
export interface LockEnvironment {
  /** Returns milliseconds on a monotonic clock. */
  readonly now: () => number
  /** Resolves after a number of milliseconds; rejects if the signal is aborted. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<unknown>
  readonly createIdentity: () => Identity
}

/** Interval in milliseconds at which an owner shows that it is alive. */
export const HEARTBEAT_INTERVAL = 1000
/** Milliseconds without a heartbeat after which an owner loses its lock. */
export const MAX_SILENCE = 5000
const MIN_POLL_DELAY = 10
const MAX_POLL_DELAY = 100
/**
 * Maximum time in milliseconds between two checks of an owner that counts as silence.
 *
 * A waiter that stood still itself, for example because the machine slept, cannot know whether the
 * owner was silent meanwhile.
 */
const MAX_SILENCE_PER_CHECK = 250
/** Age in milliseconds of files that a process on another host has left. */
const MAX_LEFTOVER_AGE = 60_000

const defaultEnvironment: LockEnvironment = {
  now: () => performance.now(),
  // This timer keeps the process alive, because its caller waits for the lock.
  sleep: (ms, signal) => delay(ms, undefined, { signal }),
  createIdentity
}

/**
 * Creates a lock that uses a folder of its own.
 *
 * The lock is held if the folder `held` exists in it and contains a folder with the name of the
 * owner. A process acquires the lock with one rename of a prepared folder to `held`.
 * The rename fails if `held` is not empty. A process releases its lock, or takes over that of
 * another owner, with one rename of the owner's folder. That name is unique, so a process with
 * outdated knowledge cannot remove the lock of the next owner.
 *
 * An owner loses its lock if its process has ended, or if it sent no heartbeat for 5 s. Waiters
 * measure this with their own monotonic clocks, so clocks of hosts may differ.
 */
export function createFileLock (
  folder: string,
  { now, sleep, createIdentity }: LockEnvironment = defaultEnvironment
): FileLock {
  const held = join(folder, 'held')
  /** Last heartbeat of each owner that was seen, and the time without another one. */
  const seen = new Map<string, { readonly heartbeat: number, checkedAt: number, silence: number }>()
  let ownFolder: string | null = null
  let lastRun: Promise<unknown> = Promise.resolve()
  let hasCleaned = false

  async function acquire (identity: Identity, signal: AbortSignal): Promise<void> {
    const prepared = join(folder, `new.${identity.name}`)

    try {
      for (let attempt = 0;; attempt++) {
        signal.throwIfAborted()
        const result = await moveIfFree(prepared)

        if (result === 'done') {
          return
        }

        if (result === 'missing') {
          await createPrivateFolder(folder)
          await mkdir(join(prepared, identity.name), { recursive: true, mode: 0o700 })
        } else if (!await removeAbandonedOwners(identity)) {
          const longest = Math.min(MAX_POLL_DELAY, MIN_POLL_DELAY * 1.5 ** attempt)
          await sleep(longest * (0.5 + Math.random() / 2), signal).catch(() => {})
        }
      }
    } catch (error) {
      await remove(prepared)
      throw error
    }
  }

  /** Moves the prepared folder. It is missing at first, or after another process removed it. */
  async function moveIfFree (prepared: string): Promise<'done' | 'held' | 'missing'> {
    try {
      await rename(prepared, held)
      return 'done'
    } catch (error) {
      if (getErrorCode(error) === 'ENOENT') {
        return 'missing'
      }

      // Windows reports EPERM if the target exists.
      if (['ENOTEMPTY', 'EEXIST'].includes(getErrorCode(error)) || await exists(held)) {
        return 'held'
      }

      throw error
    }
  }

  /** Returns whether owners were removed, so that another attempt can succeed. */
  async function removeAbandonedOwners (identity: Identity): Promise<boolean> {
    const owners = await list(held)

    for (const name of seen.keys()) {
      if (!owners.includes(name)) {
        seen.delete(name)
      }
    }

    for (const name of owners) {
      if (!identity.hasEnded(name) && !await isSilent(name)) {
        return false
      }

      await removeOwner(name)
      hasCleaned = false
    }

    // On POSIX, the rename of the next owner replaces an empty folder. Windows needs this.
    await rmdir(held).catch(() => {})
    return owners.length > 0
  }

  async function isSilent (name: string): Promise<boolean> {
    const heartbeat = await lstat(join(held, name)).then(({ mtimeMs }) => mtimeMs, () => 0)
    const checkedAt = now()
    const owner = seen.get(name)

    if (owner?.heartbeat !== heartbeat) {
      seen.set(name, { heartbeat, checkedAt, silence: 0 })
      return false
    }

    owner.silence += Math.min(checkedAt - owner.checkedAt, MAX_SILENCE_PER_CHECK)
    owner.checkedAt = checkedAt
    return owner.silence >= MAX_SILENCE
  }

  /** Releases the lock of an owner. Does nothing if the owner has no lock anymore. */
  async function removeOwner (name: string): Promise<void> {
    const removed = join(folder, `removed.${createIdentity().name}`)

    try {
      await rename(join(held, name), removed)
    } catch (error) {
      if (getErrorCode(error) !== 'ENOENT') {
        throw error
      }

      return
    }

    await rmdir(held).catch(() => {})
    await remove(removed)
  }

  /** Removes what killed processes have left behind. */
  async function clean (identity: Identity): Promise<void> {
    for (const name of await list(folder)) {
      const path = join(folder, name)
      const [, kind, owner = ''] = /^(new|value|removed)\.([^.]+\.\d+\.[0-9a-f]+)/.exec(name) ?? []

      if (kind && (kind === 'removed' || identity.hasEnded(owner) || await isOld(path))) {
        await remove(path)
      }
    }
  }

  async function runAlone<Result> (
    work: () => Promise<Result>,
    signal: AbortSignal
  ): Promise<Result> {
    const identity = createIdentity()
    await acquire(identity, signal)
    const own = join(held, identity.name)
    const heartbeat = setInterval(() => {
      const date = new Date()
      utimes(own, date, date).catch(() => {})
    }, HEARTBEAT_INTERVAL).unref()
    ownFolder = own

    try {
      if (!hasCleaned) {
        hasCleaned = true
        await clean(identity).catch(() => {})
      }

      return await work()
    } finally {
      ownFolder = null
      clearInterval(heartbeat)
      // Ignores a failure, so that the caller gets the result of the work. Other processes take the
      // lock over later.
      await removeOwner(identity.name).catch(() => {})
    }
  }

  return {
    get ownFolder () {
      return ownFolder
    },
    async run (work, signal) {
      const previous = lastRun
      let finish!: () => void
      lastRun = Promise.all([previous, new Promise<void>(resolve => (finish = resolve))])

      try {
        await abortable(previous, signal)
        return await runAlone(work, signal)
      } finally {
        finish()
      }
    }
  }
}

/** Waits for a promise that never rejects, or rejects with the reason of the signal. */
function abortable (promise: Promise<unknown>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(signal.reason)
    signal.addEventListener('abort', stop)
    void promise.then(() => {
      signal.removeEventListener('abort', stop)
      resolve()
    })

    if (signal.aborted) {
      stop()
    }
  })
}

async function list (folder: string): Promise<string[]> {
  return readdir(folder).catch((error: unknown) => {
    if (getErrorCode(error) === 'ENOENT') {
      return []
    }

    throw error
  })
}

async function remove (path: string): Promise<void> {
  await rm(path, { recursive: true, force: true }).catch(() => {})
}

async function exists (path: string): Promise<boolean> {
  return lstat(path).then(() => true, () => false)
}

async function isOld (path: string): Promise<boolean> {
  return lstat(path).then(({ mtimeMs }) => Date.now() - mtimeMs > MAX_LEFTOVER_AGE, () => false)
}
