import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)

export const root = fileURLToPath(new URL('../../', import.meta.url))

/** Project outside of this repository, with the built package in its node_modules. */
export interface Consumer {
  readonly folder: string
  write(file: string, text: string): void
  /** Returns the errors of the compiler, or an empty string. */
  compile(): Promise<string>
  remove(): void
}

export const defaultDependencies: readonly string[] = [
  'fastify',
  'libsql',
  'pg',
  '@types/pg',
  '@types/node'
]

/** Directories in node_modules with the oldest and the newest supported @types/node. */
export type NodeTypes = '@types/node' | 'types-node-latest'

/** Creates a project that uses the built package with the given dependencies. */
export function createConsumer (
  dependencies = defaultDependencies,
  nodeTypes: NodeTypes = '@types/node'
): Consumer {
  const folder = mkdtempSync(join(tmpdir(), 'token-auth-consumer-'))

  const link = (name: string, target: string): void => {
    const place = join(folder, 'node_modules', name)
    mkdirSync(dirname(place), { recursive: true })
    symlinkSync(target, place)
  }

  link('fastify-token-auth', root)

  for (const name of dependencies) {
    link(name, join(root, 'node_modules', name === '@types/node' ? nodeTypes : name))
  }

  const write = (file: string, text: string): void => {
    writeFileSync(join(folder, file), text)
  }

  write('package.json', JSON.stringify({ type: 'module' }))
  write(
    'tsconfig.json',
    JSON.stringify({
      compilerOptions: {
        target: 'ES2023',
        module: 'NodeNext',
        strict: true,
        exactOptionalPropertyTypes: true,
        skipLibCheck: false,
        types: ['node'],
        noEmit: true
      },
      include: ['*.ts']
    })
  )

  return {
    folder,
    write,
    compile: () =>
      run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', folder])
        .then(() => '', ({ stdout }: { stdout: string }) => stdout),
    remove: () => {
      rmSync(folder, { recursive: true })
    }
  }
}
