import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { root } from './consumer.js'

/** File in the archive of the package. */
export interface ArchivedFile {
  readonly path: string
  readonly mode: number
}

/** Archive that `npm publish` uploads. */
export interface PackageArchive {
  readonly tarball: string
  readonly files: readonly ArchivedFile[]
}

/** Packs the built package into the folder. */
export function packPackage (folder: string): PackageArchive {
  const output = execFileSync(
    'npm',
    ['pack', '--json', '--ignore-scripts', '--pack-destination', folder],
    { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }
  )
  const [{ filename, files }] = JSON.parse(output)
  return { tarball: join(folder, filename), files }
}
