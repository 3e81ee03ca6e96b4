import { lstat, rename, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { isRecord } from '../responses.js'
import type { TokenStorage } from '../storage.js'
import { FileStorageError } from './errors.js'
import { createFileLock } from './file-lock.js'
import type { LockEnvironment } from './file-lock.js'
import {
  createPrivateFolder,
  readPrivateFile,
  syncFolder,
  writePrivateFile
} from './private-files.js'
import { createIdentity } from './process-identity.js'

const FORMAT_VERSION = 1

/**
 * Creates a storage that keeps a session in a file, for scripts and command-line tools.
 *
 * Many processes can share the file and so one session. Only its user can access the file (mode
 * 0600); missing parent folders get the mode 0700. Other permissions are removed, with a process
 * warning. Windows has no such modes, so use a folder in the user's profile there. A file that
 * contains no valid value counts as empty, and the next login replaces it.
 *
 * The folder `<path>.lock` contains the lock between the processes. A process loses the lock if it
 * ends, or if it stands still for 5 s. It notices this before it writes.
 *
 * All methods reject with errors of the file system. They reject with a {@link FileStorageError} if
 * the file belongs to another user, or if the process has lost its lock.
 *
 * @param path - Path of the file. Use one file for each server and user.
 * @throws TypeError if the path is empty or starts with `~`
 * @example
 * ```ts
 * import { homedir } from 'node:os'
 * import { join } from 'node:path'
 * import { createAuthClient } from 'fastify-token-auth/client'
 * import { fileStorage } from 'fastify-token-auth/client/node'
 *
 * const auth = createAuthClient({
 *   baseUrl: 'https://api.example.org',
 *   storage: fileStorage(join(homedir(), '.config', 'example', 'session.json'))
 * })
 * ```
 */
export function fileStorage (path: string): Required<TokenStorage> {
  return createFileStorage(path)
}

/** Creates the storage with a replaceable environment. */
export function createFileStorage (
  path: string,
  environment?: LockEnvironment
): Required<TokenStorage> {
  if (typeof path !== 'string' || path === '') {
    throw new TypeError('"path" must be a non-empty string')
  }

  if (/^~(?:[/\\]|$)/.test(path)) {
    throw new TypeError('"path" must not start with "~"; use os.homedir()')
  }

  // The process may change its working directory later.
  const file = resolve(path)
  const folder = `${file}.lock`
  const lock = createFileLock(folder, environment)

  /** Runs a write in the folder of the lock, where it fails if the lock was lost. */
  async function write (run: (folder: string) => Promise<void>): Promise<void> {
    const { ownFolder } = lock

    try {
      await createPrivateFolder(folder)
      await run(ownFolder ?? folder)
    } catch (cause) {
      if (ownFolder === null || await exists(ownFolder)) {
        throw cause
      }

      throw new FileStorageError(
        'lock-lost',
        `another process took over the lock of ${file}, because this process stood still`,
        { cause }
      )
    }

    await syncFolder(file)
  }

  return {
    async get () {
      return parse(await readPrivateFile(file))
    },
    set: value =>
      write(async folder => {
        const temporary = join(folder, `value.${createIdentity().name}`)

        try {
          await writePrivateFile(temporary, serialize(value))
          await rename(temporary, file)
        } catch (error) {
          await rm(temporary, { force: true })
          throw error
        }
      }),
    remove: () =>
      write(async folder => {
        const removed = join(folder, `value.${createIdentity().name}`)

        // A folder at this path does not come from this storage.
        if (await isFile(file)) {
          await rename(file, removed)
          await rm(removed)
        }
      }),
    lock: lock.run
  }
}

function serialize (value: string): string {
  return `${JSON.stringify({ version: FORMAT_VERSION, value })}\n`
}

/** Returns `null` for every content that {@link serialize} cannot create. */
function parse (content: string | null): string | null {
  try {
    const saved: unknown = JSON.parse(content ?? '')

    return isRecord(saved) && saved['version'] === FORMAT_VERSION &&
        typeof saved['value'] === 'string'
      ? saved['value']
      : null
  } catch {
    return null
  }
}

async function exists (path: string): Promise<boolean> {
  return lstat(path).then(() => true, () => false)
}

async function isFile (path: string): Promise<boolean> {
  return lstat(path).then(stats => !stats.isDirectory(), () => false)
}
