import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { CliError } from '../errors.js'

/** Driver that was found. */
export interface LoadedDriver {
  readonly name: string
  /** Namespace of the module. A CommonJS module is its member `default`. */
  readonly module: Readonly<Record<string, unknown>>
}

/**
 * Loads the first installed package of a list.
 *
 * Packages are resolved from the folder of the app, because the app chooses its driver and its
 * version. Names that begin with `node:` are modules of Node itself.
 *
 * @throws CliError `DRIVER_MISSING`
 */
export async function loadDriver (
  database: string,
  names: readonly string[],
  folder: string
): Promise<LoadedDriver> {
  const require = createRequire(join(folder, 'package.json'))

  for (const name of names) {
    const specifier = resolveDriver(require, name)

    if (specifier !== null) {
      return { name, module: await import(specifier) as LoadedDriver['module'] }
    }
  }

  const packages = names.filter(name => !name.startsWith('node:'))
    .map(name => name.split('/')[0] as string)
  throw new CliError(
    'DRIVER_MISSING',
    `${database} requires the package ${packages.map(name => `"${name}"`).join(' or ')}, which ` +
      `is not installed here; run "npm install ${packages[0]}" in the folder of your app`
  )
}

function resolveDriver (require: NodeJS.Require, name: string): string | null {
  try {
    const path = require.resolve(name)
    return name.startsWith('node:') ? name : pathToFileURL(path).href
  } catch {
    return null
  }
}

/** Returns the exports of a CommonJS or ES module. */
export function getExports<T> ({ module }: LoadedDriver): T {
  return { ...module, ...module.default as object } as T
}
