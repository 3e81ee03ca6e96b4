/**
 * Files and folders that only the user of this process can access.
 *
 * Windows has no modes and no owners that Node can compare, so these checks do nothing there.
 *
 * @module
 */

import type { Stats } from 'node:fs'
import { chmod, lstat, mkdir, open, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { FileStorageError } from './errors.js'

const OTHER_USERS = 0o077

/** Creates a folder and its parents with the mode 0700, or checks the existing folder. */
export async function createPrivateFolder (path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 })
  await restrict(path, await stat(path), 0o700)
}

/**
 * Checks owner and mode of a file, and then reads it.
 *
 * @returns `null` if the file does not exist.
 */
export async function readPrivateFile (path: string): Promise<string | null> {
  const handle = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') {
      throw error
    }
  })

  if (!handle) {
    return null
  }

  try {
    const stats = await handle.stat()

    // The mode of a folder must not change. Reading the folder as a file rejects.
    if (!stats.isDirectory()) {
      await restrict(path, stats, 0o600)
    }

    return await handle.readFile('utf8')
  } finally {
    await handle.close()
  }
}

/** Creates a file with the mode 0600. Resolves when its content would survive a power failure. */
export async function writePrivateFile (path: string, content: string): Promise<void> {
  const handle = await open(path, 'wx', 0o600)

  try {
    await handle.writeFile(content)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Makes renames in the folder of a file survive a power failure, if the system can do it. */
export async function syncFolder (file: string): Promise<void> {
  try {
    const handle = await open(dirname(file), 'r')
    await handle.sync().finally(() => handle.close())
  } catch {
    // Windows and some network file systems cannot sync a folder.
  }
}

/**
 * Removes the permissions of other users.
 *
 * A backup or a container volume often changes the mode. An error would sign the user out until
 * the mode is fixed, and would not protect a token that others have already read.
 */
async function restrict (path: string, { uid, mode }: Stats, wanted: number): Promise<void> {
  if (process.geteuid === undefined) {
    return
  }

  if (uid !== process.geteuid()) {
    throw new FileStorageError(
      'not-private',
      `${path} belongs to user ${uid}, but this process runs as user ${process.geteuid()}`
    )
  }

  if ((mode & OTHER_USERS) === 0) {
    return
  }

  const found = (mode & 0o777).toString(8)

  // In a shared folder, another user may have created the link to change the mode of its target.
  if ((await lstat(path)).isSymbolicLink()) {
    throw new FileStorageError(
      'not-private',
      `${path} is a symbolic link to a target with the mode ${found}; use a path without a link`
    )
  }

  await chmod(path, wanted)

  // Some file systems, such as FAT, ignore modes.
  if (((await stat(path)).mode & OTHER_USERS) !== 0) {
    throw new FileStorageError(
      'not-private',
      `${path} has the mode ${found} and cannot be restricted to its owner; use another folder`
    )
  }

  process.emitWarning(
    `${path} had the mode ${found}, so other users may have read it; the mode is now ` +
      wanted.toString(8),
    { type: 'FileStorageWarning' }
  )
}
