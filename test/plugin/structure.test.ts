// Holds the rooms of src: who may import whom, and what no file may have.

import { readdirSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import ts from 'typescript'

/** Files by their path below src. */
type Tree = Readonly<Record<string, string>>

interface Import {
  /** A path below src, or the name of a package. */
  readonly target: string
  readonly isPackage: boolean
  readonly isTypeOnly: boolean
  /** Whether it is loaded when that line is reached, and not before. */
  readonly isLate: boolean
  readonly isReExport: boolean
}

type Check = (tree: Tree) => string[]

interface Room {
  readonly files: RegExp
  /** Rooms that its files may import. */
  readonly below: readonly string[]
  /** Packages that its files may import. */
  readonly packages: 'any' | 'none' | 'all but fastify'
}

const leaves = ['errors', 'protocol', 'durations', 'deadlines']

const rooms: Readonly<Record<string, Room>> = {
  index: {
    files: /^index\.ts$/,
    below: ['plugin', 'http', 'service', 'credentials', 'interface', 'domain', ...leaves],
    packages: 'none'
  },
  plugin: {
    files: /^plugin(-\w+)?\.ts$/,
    below: ['plugin', 'http', 'service', 'credentials', 'interface', 'memory', 'domain', ...leaves],
    packages: 'any'
  },
  verify: {
    files: /^verify\.ts$/,
    below: ['http', 'service', 'credentials', 'interface', 'memory', 'domain', ...leaves],
    packages: 'any'
  },
  http: {
    files: /^(routes\/.+|options|\w+-options|options-from-env|option-checks|resolve-\w+|decorators|token-auth|authenticate|guards|bearer|cookies|origins|risks|re\w+-\w+)\.ts$/,
    below: ['http', 'service', 'credentials', 'interface', 'domain', ...leaves],
    packages: 'any'
  },
  service: {
    files: /^service\//,
    below: ['service', 'credentials', 'interface', 'domain', ...leaves],
    packages: 'all but fastify'
  },
  credentials: {
    files: /^credentials\//,
    below: ['credentials', 'domain', ...leaves],
    packages: 'all but fastify'
  },
  interface: { files: /^stores\/(token|attempt)-store\.ts$/, below: ['domain'], packages: 'none' },
  /** The one that is a default. */
  memory: { files: /^stores\/memory-attempts\.ts$/, below: ['interface', 'domain'], packages: 'none' },
  conformance: { files: /^stores\/((attempt-)?conformance|laws)\.ts$/, below: ['conformance', 'interface', 'domain'], packages: 'all but fastify' },
  sql: { files: /^stores\/sql\//, below: ['sql', 'interface', 'domain', 'deadlines'], packages: 'all but fastify' },
  redis: { files: /^stores\/redis(-\w+)?\.ts$/, below: ['redis', 'interface', 'domain'], packages: 'all but fastify' },
  memoryParts: { files: /^stores\/memory-(ends|shards)\.ts$/, below: ['domain'], packages: 'none' },
  store: { files: /^stores\/[^/]+\.ts$/, below: ['memoryParts', 'interface', 'domain'], packages: 'all but fastify' },
  domain: { files: /^domain\//, below: ['domain'], packages: 'none' },
  client: { files: /^client\//, below: ['client', 'protocol'], packages: 'none' },
  testing: { files: /^testing\//, below: ['testing', 'client', 'protocol'], packages: 'none' },
  errors: { files: /^errors\.ts$/, below: ['protocol'], packages: 'none' },
  protocol: { files: /^protocol\.ts$/, below: [], packages: 'none' },
  durations: { files: /^durations\.ts$/, below: ['domain'], packages: 'none' },
  deadlines: { files: /^deadlines\.ts$/, below: ['domain'], packages: 'none' }
}

const barrels = ['index.ts', 'client/index.ts', 'testing/index.ts']
/** Files whose readers need types from below: `export type { .. } from` alone. */
const typeReExports = [
  'stores/token-store.ts', 'stores/attempt-store.ts', 'errors.ts', 'stores/redis.ts', 'stores/sql/mysql.ts', 'stores/sql/sqlite.ts', 'verify.ts',
  'client/dpop.ts'
]
/** What is loaded by one file alone, so that an app which issues tokens does without. */
const loaders: Readonly<Record<string, string>> = { jose: 'credentials/remote-keys.ts', 'credentials/remote-keys.ts': 'verify.ts' }
/** What only `oauth` or `dpop` need. */
const optional = /^(plugin-(oauth|proofs)|request-proofs|routes\/oauth\/.+|credentials\/dpop-.+|service\/(proofs|clients|introspection))\.ts$/
/** The names of registrations, by server, hang on what Fastify shares between scopes. */
const moduleState = ['plugin.ts: namesByServer']
const longFiles = ['stores/conformance.ts']
const LONGEST = 250

const checks = {
  'imports run down, from room to room': tree => withImports(tree, (path, { target, isPackage }) => {
    const room = roomOf(path)
    if (isPackage) return []
    const targetRoom = roomOf(target)
    return rooms[room]?.below.includes(targetRoom) ? [] : [`${path} (${room}) imports ${target} (${targetRoom})`]
  }),

  'every file has a room': tree =>
    Object.keys(tree).filter(path => roomOf(path) === 'no room').map(path => `${path} has no room`),

  'HTTP, and packages, stay where they belong': tree => withImports(tree, (path, { target, isPackage }) => {
    const allowed = rooms[roomOf(path)]?.packages
    const isAllowed = !isPackage || allowed === 'any' || (allowed === 'all but fastify' && !isFastify(target))
    return isAllowed ? [] : [`${path} imports ${target}`]
  }),

  'jose is loaded with verify.ts alone': tree => withImports(tree, (path, { target, isTypeOnly }) => {
    const loader = loaders[target] ?? path
    return isTypeOnly || path === loader ? [] : [`${path} loads ${target}`]
  }),

  'oauth and dpop are loaded where they are switched on': tree =>
    loadedWith('plugin.ts', tree).filter(path => optional.test(path)).map(path => `plugin.ts loads ${path}`),

  'index.ts re-exports and does nothing else': tree => Object.entries(tree)
    .filter(([path]) => barrels.includes(path))
    .flatMap(([path, text]) => parse(path, text).statements
      .filter(statement => !ts.isExportDeclaration(statement) || statement.moduleSpecifier === undefined)
      .map(statement => `${path}: ${statement.getText()}`)),

  'no other file re-exports': tree => [
    ...withImports(tree, (path, { target, isReExport, isTypeOnly }) => {
      const isAllowed = !isReExport || barrels.includes(path) || (isTypeOnly && typeReExports.includes(path))
      return isAllowed ? [] : [`${path} re-exports from ${target}`]
    }),
    ...Object.entries(tree).flatMap(([path, text]) => importedAndExported(parse(path, text))
      .map(name => `${path} re-exports ${name}`))
  ],

  'no circle of imports': circlesOf,

  'no any': tree => Object.entries(tree).flatMap(([path, text]) => {
    const source = parse(path, text)
    return nodesOf(source).filter(node => node.kind === ts.SyntaxKind.AnyKeyword)
      .map(node => `${path}:${source.getLineAndCharacterOfPosition(node.getStart()).line + 1}`)
  }),

  [`no file over ${LONGEST} lines`]: tree => Object.entries(tree)
    .filter(([path]) => !longFiles.includes(path))
    .map(([path, text]) => [path, text.trimEnd().split('\n').length] as const)
    .filter(([, length]) => length > LONGEST)
    .map(([path, length]) => `${path} has ${length} lines`),

  'no state in a module': tree => Object.entries(tree)
    .flatMap(([path, text]) => stateIn(parse(path, text)).map(name => `${path}: ${name}`))
    .filter(state => !moduleState.includes(state))
} satisfies Record<string, Check>

type Rule = keyof typeof checks

/** For each rule, trees that break it once. */
const broken: ReadonlyArray<readonly [rule: Rule, tree: Tree, breach: string]> = [
  ['imports run down, from room to room',
    { 'domain/a.ts': "import type { B } from '../service/b.js'" },
    'domain/a.ts (domain) imports service/b.ts (service)'],
  ['imports run down, from room to room',
    { 'service/a.ts': "import { route } from '../routes/b.js'" },
    'service/a.ts (service) imports routes/b.ts (http)'],
  ['imports run down, from room to room',
    { 'service/a.ts': "import type { MemoryStore } from '../stores/memory.js'" },
    'service/a.ts (service) imports stores/memory.ts (store)'],
  ['imports run down, from room to room',
    { 'plugin.ts': "import { MemoryStore } from './stores/memory.js'" },
    'plugin.ts (plugin) imports stores/memory.ts (store)'],
  ['imports run down, from room to room',
    { 'routes/a.ts': "import { tokenAuth } from '../plugin.js'" },
    'routes/a.ts (http) imports plugin.ts (plugin)'],
  ['imports run down, from room to room',
    { 'options.ts': "import { tokenAuth } from './index.js'" },
    'options.ts (http) imports index.ts (index)'],
  ['imports run down, from room to room',
    { 'credentials/a.ts': "import type { TokenStore } from '../stores/token-store.js'" },
    'credentials/a.ts (credentials) imports stores/token-store.ts (interface)'],
  ['imports run down, from room to room',
    { 'stores/redis.ts': "import { b } from './memory.js'" },
    'stores/redis.ts (redis) imports stores/memory.ts (store)'],
  ['imports run down, from room to room',
    { 'stores/redis.ts': "import { toSession } from './sql/rows.js'" },
    'stores/redis.ts (redis) imports stores/sql/rows.ts (sql)'],
  ['imports run down, from room to room',
    { 'stores/sql/mysql.ts': "import { TokenAuthError } from '../../errors.js'" },
    'stores/sql/mysql.ts (sql) imports errors.ts (errors)'],
  ['imports run down, from room to room',
    { 'client/a.ts': "import { parseDuration } from '../durations.js'" },
    'client/a.ts (client) imports durations.ts (durations)'],
  ['imports run down, from room to room',
    { 'errors.ts': "import type { Session } from './domain/session.js'" },
    'errors.ts (errors) imports domain/session.ts (domain)'],
  ['imports run down, from room to room',
    { 'protocol.ts': "import type { ErrorCode } from './errors.js'" },
    'protocol.ts (protocol) imports errors.ts (errors)'],
  ['imports run down, from room to room',
    { 'domain/a.ts': "export type B = import('../service/b.js').B" },
    'domain/a.ts (domain) imports service/b.ts (service)'],
  ['imports run down, from room to room',
    { 'domain/a.ts': "export const b = () => import('../service/b.js')" },
    'domain/a.ts (domain) imports service/b.ts (service)'],
  ['every file has a room', { 'utils.ts': '' }, 'utils.ts has no room'],
  ['HTTP, and packages, stay where they belong',
    { 'service/a.ts': "import type { FastifyRequest } from 'fastify'" }, 'service/a.ts imports fastify'],
  ['HTTP, and packages, stay where they belong',
    { 'credentials/a.ts': "import jwt from '@fastify/jwt'" }, 'credentials/a.ts imports @fastify/jwt'],
  ['HTTP, and packages, stay where they belong',
    { 'stores/a.ts': "import fp from 'fastify-plugin'" }, 'stores/a.ts imports fastify-plugin'],
  ['HTTP, and packages, stay where they belong',
    { 'service/a.ts': "declare module 'fastify' { interface FastifyRequest { a: string } }" }, 'service/a.ts imports fastify'],
  ['HTTP, and packages, stay where they belong',
    { 'domain/a.ts': "import { randomBytes } from 'node:crypto'" }, 'domain/a.ts imports node:crypto'],
  ['HTTP, and packages, stay where they belong',
    { 'client/a.ts': "import { setTimeout } from 'node:timers/promises'" }, 'client/a.ts imports node:timers/promises'],
  ['jose is loaded with verify.ts alone',
    { 'credentials/a.ts': "import { importJWK } from 'jose'" }, 'credentials/a.ts loads jose'],
  ['jose is loaded with verify.ts alone',
    { 'service/a.ts': "import { RemoteKeys } from '../credentials/remote-keys.js'" }, 'service/a.ts loads credentials/remote-keys.ts'],
  ['oauth and dpop are loaded where they are switched on',
    { 'plugin.ts': "import { a } from './routes/a.js'", 'routes/a.ts': "import { readClient } from './oauth/b.js'", 'routes/oauth/b.ts': '' },
    'plugin.ts loads routes/oauth/b.ts'],
  ['imports run down, from room to room',
    { 'plugin.ts': "import { tokenVerifier } from './verify.js'" },
    'plugin.ts (plugin) imports verify.ts (verify)'],
  ['imports run down, from room to room',
    { 'verify.ts': "import { tokenAuth } from './plugin.js'" },
    'verify.ts (verify) imports plugin.ts (plugin)'],
  ['index.ts re-exports and does nothing else', { 'index.ts': 'export const a = 1' }, 'index.ts: export const a = 1'],
  ['no other file re-exports',
    { 'service/index.ts': "export * from './login.js'" }, 'service/index.ts re-exports from service/login.ts'],
  ['no other file re-exports',
    { 'errors.ts': "export { defaultPaths } from './protocol.js'" }, 'errors.ts re-exports from protocol.ts'],
  ['no other file re-exports',
    { 'service/a.ts': "export type { Session } from '../domain/session.js'" }, 'service/a.ts re-exports from domain/session.ts'],
  ['no other file re-exports',
    { 'service/a.ts': "import { b } from './b.js'\nexport { b }" }, 'service/a.ts re-exports b'],
  ['no circle of imports',
    {
      'service/a.ts': "import { b } from './b.js'",
      'service/b.ts': "import { type X, c } from './c.js'",
      'service/c.ts': "import { a } from './a.js'"
    },
    'service/a.ts -> service/b.ts -> service/c.ts -> service/a.ts'],
  ['no any', { 'bearer.ts': '\nexport function read (value: any): string { return value }' }, 'bearer.ts:2'],
  [`no file over ${LONGEST} lines`, { 'plugin.ts': '// a line\n'.repeat(251) }, 'plugin.ts has 251 lines'],
  ['no state in a module', { 'plugin.ts': 'let count = 0' }, 'plugin.ts: count'],
  ['no state in a module', { 'service/a.ts': 'const cache = new Map<string, string>()' }, 'service/a.ts: cache'],
  ['no state in a module', { 'service/a.ts': 'export const seen: Set<string> = new Set()' }, 'service/a.ts: seen'],
  ['no state in a module', { 'service/a.ts': 'const log: string[] = []' }, 'service/a.ts: log'],
  ['no state in a module', { 'service/a.ts': 'const byId: Record<string, string> = {}' }, 'service/a.ts: byId'],
  ['no state in a module', { 'service/a.ts': 'export class A { static count = 0 }' }, 'service/a.ts: count']
]

/** Breaks no rule, near though it comes. */
const sound: Tree = {
  'index.ts': "export { tokenAuth } from './plugin.js'\nexport type { Secret } from './options.js'",
  'plugin.ts': "import fp from 'fastify-plugin'\nimport { a } from './service/a.js'\nconst namesByServer = new WeakMap()\n" +
    "import type { Proof } from './service/proofs.js'\nexport const late = () => import('./plugin-proofs.js')",
  'plugin-proofs.ts': "import { Proofs } from './service/proofs.js'",
  'service/proofs.ts': '',
  'options.ts': "import type { TokenStore } from './stores/token-store.js'",
  'verify.ts': "import { RemoteKeys } from './credentials/remote-keys.js'\nexport type { Auth } from './service/access.js'",
  'credentials/remote-keys.ts': "import { compactVerify } from 'jose'",
  'service/remote.ts': "import type { RemoteKeys } from '../credentials/remote-keys.js'",
  'service/a.ts': "import { b } from './b.js'\nimport lib from 'some-library'\nexport function a () { let c = 0; return c++ }",
  'service/b.ts': "import type { A } from './a.js'\nimport { type C } from './a.js'\nconst words: ReadonlySet<string> = new Set(['any'])",
  'stores/token-store.ts': "export type { Session } from '../domain/session.js'",
  'stores/sql/sqlite.ts': "import { rows } from './rows.js'\nimport type { TokenStore } from '../token-store.js'",
  'client/index.ts': "export { createAuthClient } from './client.js'",
  'client/client.ts': "import { defaultPaths } from '../protocol.js'\nexport function createAuthClient () {}",
  'stores/conformance.ts': '// a law\n'.repeat(300)
}

t.test('src holds the rules', async t => {
  const tree = readTree(fileURLToPath(new URL('../../src/', import.meta.url)))
  t.ok('domain/rotation.ts' in tree)
  for (const [rule, check] of Object.entries(checks)) t.strictSame(check(tree), [], rule)
})

t.test('a tree that breaks a rule is found out', async t => {
  for (const [rule, tree, breach] of broken) t.strictSame(checks[rule](tree), [breach], `${rule}: ${breach}`)
  for (const rule of Object.keys(checks)) t.ok(broken.some(([name]) => name === rule), `${rule}: is tried`)
})

t.test('a tree that breaks none is left in peace', async t => {
  for (const [rule, check] of Object.entries(checks)) t.strictSame(check(sound), [], rule)
})

function readTree (root: string): Tree {
  return Object.fromEntries(readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter(path => path.endsWith('.ts'))
    .map(path => [path, readFileSync(`${root}${path}`, 'utf8')]))
}

function roomOf (path: string): string {
  return Object.entries(rooms).find(([, { files }]) => files.test(path))?.[0] ?? 'no room'
}

function isFastify (name: string): boolean {
  return /^(@fastify\/|fastify($|[-/]))/.test(name)
}

function parse (path: string, text: string): ts.SourceFile {
  return ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true)
}

function nodesOf (node: ts.Node): ts.Node[] {
  const nodes = [node]
  node.forEachChild(child => { nodes.push(...nodesOf(child)) })
  return nodes
}

function withImports (tree: Tree, find: (path: string, found: Import) => string[]): string[] {
  return Object.entries(tree).flatMap(([path, text]) => importsOf(path, text).flatMap(found => find(path, found)))
}

/** The files that an import of this one loads, that one too. */
function loadedWith (path: string, tree: Tree, loaded = new Set<string>()): string[] {
  const text = tree[path]
  if (text !== undefined && !loaded.has(path)) {
    loaded.add(path)
    for (const { target, isTypeOnly, isLate } of importsOf(path, text)) {
      if (!isTypeOnly && !isLate) loadedWith(target, tree, loaded)
    }
  }
  return [...loaded]
}

function importsOf (path: string, text: string): Import[] {
  return nodesOf(parse(path, text)).flatMap(node => {
    const specifier = specifierOf(node)
    if (specifier === undefined) return []
    const isPackage = !specifier.startsWith('.')
    const target = isPackage ? specifier : posix.join(posix.dirname(path), specifier).replace(/\.js$/, '.ts')
    const [isLate, isReExport] = [ts.isCallExpression(node), ts.isExportDeclaration(node)]
    return [{ target, isPackage, isTypeOnly: isTypeOnly(node), isLate, isReExport }]
  })
}

function specifierOf (node: ts.Node): string | undefined {
  const holder = ts.isImportDeclaration(node) || ts.isExportDeclaration(node)
    ? node.moduleSpecifier
    : ts.isModuleDeclaration(node)
      ? node.name
      : ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)
        ? node.argument.literal
        : ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword ? node.arguments[0] : undefined
  return holder !== undefined && ts.isStringLiteral(holder) ? holder.text : undefined
}

function isTypeOnly (node: ts.Node): boolean {
  if (ts.isExportDeclaration(node)) return node.isTypeOnly
  if (!ts.isImportDeclaration(node)) return !ts.isCallExpression(node)
  const clause = node.importClause
  if (clause === undefined) return false
  const names = clause.namedBindings
  const hasOnlyTypes = clause.name === undefined && names !== undefined && ts.isNamedImports(names) &&
    names.elements.every(name => name.isTypeOnly)
  return clause.isTypeOnly || hasOnlyTypes
}

function importedAndExported (source: ts.SourceFile): string[] {
  const imported = new Set(source.statements.filter(ts.isImportDeclaration)
    .flatMap(({ importClause }) => importClause === undefined ? [] : nodesOf(importClause))
    .filter(ts.isIdentifier)
    .map(name => name.text))
  return source.statements.filter(ts.isExportDeclaration)
    .filter(({ moduleSpecifier }) => moduleSpecifier === undefined)
    .flatMap(({ exportClause }) => exportClause !== undefined && ts.isNamedExports(exportClause) ? exportClause.elements : [])
    .map(({ name, propertyName }) => (propertyName ?? name).text)
    .filter(name => imported.has(name))
}

function circlesOf (tree: Tree): string[] {
  const circles: string[] = []
  const done = new Set<string>()
  const visit = (path: string, trail: readonly string[]): void => {
    const start = trail.indexOf(path)
    if (start >= 0) circles.push([...trail.slice(start), path].join(' -> '))
    if (done.has(path)) return
    done.add(path)
    for (const { target, isTypeOnly } of importsOf(path, tree[path] ?? '')) {
      if (!isTypeOnly && target in tree) visit(target, [...trail, path])
    }
  }
  for (const path of Object.keys(tree)) visit(path, [])
  return circles
}

function stateIn (source: ts.SourceFile): string[] {
  const variables = source.statements.filter(ts.isVariableStatement).flatMap(({ declarationList }) =>
    declarationList.declarations
      .filter(({ initializer, type }) => !(declarationList.flags & ts.NodeFlags.Const) || mayChange(initializer, type))
      .map(({ name }) => name.getText()))
  const statics = source.statements.filter(ts.isClassDeclaration).flatMap(({ members }) => members)
    .filter(member => ts.isPropertyDeclaration(member) && hasModifier(member, ts.SyntaxKind.StaticKeyword) &&
      !hasModifier(member, ts.SyntaxKind.ReadonlyKeyword))
    .map(member => member.name?.getText() ?? '')
  return [...variables, ...statics]
}

function mayChange (value: ts.Expression | undefined, type: ts.TypeNode | undefined): boolean {
  if (value === undefined || /^(Readonly|readonly )/.test(type?.getText() ?? '')) return false
  if (ts.isArrayLiteralExpression(value)) return value.elements.length === 0
  if (ts.isObjectLiteralExpression(value)) return value.properties.length === 0
  return ts.isNewExpression(value) && /^(Weak)?(Map|Set)$/.test(value.expression.getText())
}

function hasModifier (node: ts.HasModifiers, kind: ts.SyntaxKind): boolean {
  return ts.getModifiers(node)?.some(modifier => modifier.kind === kind) ?? false
}
