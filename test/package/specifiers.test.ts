import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import ts from 'typescript'
import { root } from '../helpers/consumer.js'
import { readGuides } from '../helpers/guides.js'

const PACKAGE = 'fastify-token-auth'
const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  exports: Record<string, string | Target>
}

/** Conditions of a subpath. The client has a CommonJS build, so its types have conditions too. */
type Target = { readonly types: string } | { readonly default: { readonly types: string } }

function findSource (target: Target): string {
  const { types } = 'types' in target ? target : target.default
  return join(root, types.replace('/dist/', '/src/').replace('.d.ts', '.ts'))
}

/** Returns the names that a subpath exports, or `null` if there is no such subpath. */
function readExports (specifier: string): ReadonlySet<string> | null {
  const target = exports[specifier.replace(PACKAGE, '.')]

  if (typeof target !== 'object') {
    return null
  }

  const path = findSource(target)
  const source = ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.Latest)

  return new Set(source.statements.flatMap(statement => {
    if (ts.isExportDeclaration(statement)) {
      const clause = statement.exportClause
      return clause && ts.isNamedExports(clause) ? clause.elements.map(({ name }) => name.text) : []
    }

    const isExported = ts.canHaveModifiers(statement) &&
      ts.getModifiers(statement)?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword)
    const { name } = statement as ts.FunctionDeclaration
    return isExported && name ? [name.text] : []
  }))
}

/** Returns each specifier in a file with the names that the file takes from it. */
function findImports (
  content: string
): Array<readonly [specifier: string, names: readonly string[]]> {
  // The slash before it excludes URLs of the repository.
  const specifiers = [...content.matchAll(/(?<!\/)fastify-token-auth(?:\/[a-z]+)+/g)]
    .map(([specifier]) => [specifier, []] as const)
  const statements = [
    ...content.matchAll(/import (?:type )?\{([^}]*)\} from '(fastify-token-auth(?:\/[a-z/]+)?)'/g)
  ].map(([, names = '', specifier = '']) =>
    [
      specifier,
      names.split(',').map(name => name.trim().replace(/^type | as .*$/g, '')).filter(Boolean)
    ] as const
  )
  // Prose may have a word of English before a specifier: "the file of `fastify-token-auth/client`".
  const phrases = [
    ...content.matchAll(/(\w+)(\([^()]*\))?(`?) (?:from|of) `?(fastify-token-auth(?:\/[a-z]+)+)/g)
  ].filter(([, name = '', , quote]) => /[A-Z]/.test(name) || quote === '`')
    .map(([, name = '', , , specifier = '']) => [specifier, [name]] as const)
  return [...specifiers, ...statements, ...phrases]
}

function findProblems (content: string): string[] {
  return findImports(content).flatMap(([specifier, names]) => {
    const exported = readExports(specifier)

    return exported === null
      ? [`${specifier} does not resolve`]
      : names.filter(name => !exported.has(name)).map(name => `${specifier} has no ${name}`)
  })
}

t.test('every subpath has a source file', async t => {
  for (const [subpath, target] of Object.entries(exports)) {
    if (typeof target === 'object') {
      t.ok(existsSync(findSource(target)), subpath)
    }
  }
})

t.test('specifiers in src and in the guides resolve and export the name beside them', async t => {
  const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
    .filter(path => path.endsWith('.ts'))
    .map(path => join('src', path))
  const files = [...sources, ...readGuides().map(({ path }) => path)]
  const contents = files.map(file => [file, readFileSync(join(root, file), 'utf8')] as const)
  t.ok(contents.flatMap(([, content]) => findImports(content)).length > 40)

  for (const [file, content] of contents) {
    t.strictSame(findProblems(content), [], file)
  }
})

t.test('a specifier that does not resolve is found', async t => {
  const cases: ReadonlyArray<readonly [content: string, problems: string[]]> = [
    ['such as new MemoryStore() from fastify-token-auth/memory', []],
    ['`listenForRevocations` from `fastify-token-auth/postgres`', []],
    ['import { tokenAuth, type Secret } from \'fastify-token-auth\'', []],
    ['import { createDpopFetch } from \'fastify-token-auth/client/dpop\'', []],
    [
      'new RedisStore(client) from fastify-token-auth/stores/redis',
      [
        'fastify-token-auth/stores/redis does not resolve',
        'fastify-token-auth/stores/redis does not resolve'
      ]
    ],
    [
      'new RedisAttempts(client) from fastify-token-auth/postgres',
      ['fastify-token-auth/postgres has no RedisAttempts']
    ],
    [
      'import { tokenAuth, tokenVerifier as verifier } from \'fastify-token-auth\'',
      ['fastify-token-auth has no tokenVerifier']
    ]
  ]

  for (const [content, problems] of cases) {
    t.strictSame(findProblems(content), problems, content)
  }
})
