// Compiles and runs the code blocks of the README and of every guide in examples/. The words after
// the fence say how:
//
// ts, tsx      The block is compiled in the folder of its guide, so it can import the files of the
//              example: './server.js'. A block may use `app`, `store`, `users` and
//              `tokenAuth` without declaring them. It declares or imports all other names.
// // orders.ts As the first line of a block: its file name. Other blocks can import it.
// ts run       The block is also run as a program and must exit with 0. AUTH_SECRET is set.
//              If it calls `listen`, it must use port 3000. The test replaces the port, runs the
//              blocks `sh run` of the guide up to the next `ts run`, and stops the server.
// ts run postgres, mysql, redis, sqlite
//              DATABASE_URL, REDIS_URL or DATABASE_FILE is set to an empty database.
// sh run       Commands for a server of `ts run`. localhost:3000 becomes the address of the server.
// text output  Expected output of the block before it. `…` matches any characters.
//
// Other words are names for tests of a single guide. Other languages are not checked here.

import { spawn } from 'node:child_process'
import { cpSync, existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import t from 'tap'
import type { Test } from 'tap'
import ts from 'typescript'
import { createChildEnv } from '../helpers/child-env.js'
import { createConsumer, root } from '../helpers/consumer.js'
import { whyNoMysql } from '../helpers/databases/mysql.js'
import { whyNoRedis } from '../helpers/databases/redis.js'
import { openMysql, openPostgres, openRedis, openSqlite } from '../helpers/example-databases.js'
import { readGuides } from '../helpers/guides.js'
import type { Block, Guide } from '../helpers/guides.js'

const AUTH_SECRET = 'k3Jd8sLq0Zx7Vb2Nm5Tg9Ry4Wp1Hc6Uf'

/** Guides whose blocks need packages that are not installed. They have tests of their own. */
const GUIDES_WITH_OWN_TESTS: readonly string[] = [
  'examples/client/README.md', // client-examples.test.ts
  'examples/nest/README.md', // nest.test.ts
  'examples/testing/README.md' // testing-guide.test.ts
]

// Declarations that blocks use from the text around them.
const surroundings: Readonly<Record<string, string>> = {
  app: 'import type { FastifyInstance } from "fastify"\ndeclare const app: FastifyInstance',
  store: 'import type { TokenStore } from "fastify-token-auth"\ndeclare const store: TokenStore',
  users: 'import type { Users } from "fastify-token-auth"\ndeclare const users: Users',
  tokenAuth: 'import { tokenAuth } from "fastify-token-auth"'
}

const databases = {
  sqlite: { open: openSqlite, skip: false },
  postgres: { open: openPostgres, skip: false },
  mysql: { open: openMysql, skip: await whyNoMysql() },
  redis: { open: openRedis, skip: await whyNoRedis() }
} as const

const { dependencies, devDependencies } = JSON.parse(
  readFileSync(join(root, 'package.json'), 'utf8')
) as Record<'dependencies' | 'devDependencies', Record<string, string>>

// One project for all guides, outside of this repository.
const project = createConsumer([...Object.keys(dependencies), ...Object.keys(devDependencies)])
t.teardown(() => {
  project.remove()
})
cpSync(join(root, 'examples'), join(project.folder, 'examples'), {
  recursive: true,
  filter: path => !path.includes('node_modules')
})

const guides = readGuides().filter(({ path }) => !GUIDES_WITH_OWN_TESTS.includes(path))

function isCompiled ({ language }: Block): boolean {
  return language === 'ts' || language === 'tsx'
}

function complete (code: string): string {
  const missing = Object.entries(surroundings)
    .filter(([name]) =>
      new RegExp(`\\b${name}\\b`).test(code) &&
      !new RegExp(`((const|let) |import (type )?\\{[^}]*)\\b${name}\\b`).test(code)
    )
    .map(([, declaration]) => declaration)
  return [...missing, code, 'export {}'].join('\n')
}

/** Path of a block in the project. */
function getFile (guide: Guide, { code, language, line }: Block): string {
  const name = /^\/\/ ([\w.-]+\.tsx?)\n/.exec(code)?.[1] ??
    `${basename(guide.path, '.md')}-line-${line}.${language}`
  return join(dirname(guide.path), name)
}

// Files of packages are parsed once for all guides.
const sourceFiles = new Map<string, ts.SourceFile | undefined>()
const options: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2023,
  lib: ['lib.es2023.d.ts', 'lib.es2024.string.d.ts', 'lib.dom.d.ts', 'lib.dom.iterable.d.ts'],
  module: ts.ModuleKind.NodeNext,
  jsx: ts.JsxEmit.ReactJSX,
  strict: true,
  exactOptionalPropertyTypes: true,
  skipLibCheck: true,
  types: ['node'],
  noEmit: true
}

/** Returns the errors in these files as `file:line: message`. */
function compile (files: readonly string[]): string[] {
  const host = ts.createCompilerHost(options)
  const readSource = host.getSourceFile.bind(host)
  host.getCurrentDirectory = () => project.folder

  host.getSourceFile = (path, ...rest) => {
    if (!path.includes('/node_modules/')) {
      return readSource(path, ...rest)
    }

    if (!sourceFiles.has(path)) {
      sourceFiles.set(path, readSource(path, ...rest))
    }

    return sourceFiles.get(path)
  }

  const program = ts.createProgram(files.map(file => join(project.folder, file)), options, host)

  return ts.getPreEmitDiagnostics(program).map(({ file, start, messageText }) => {
    const line = file ? file.getLineAndCharacterOfPosition(start ?? 0).line + 1 : 0
    const place = `${file?.fileName.replace(project.folder, '') ?? ''}:${line}`
    return `${place}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`
  })
}

for (const guide of guides) {
  for (const block of guide.blocks.filter(isCompiled)) {
    const file = getFile(guide, block)

    if (existsSync(join(project.folder, file))) {
      throw new Error(`${guide.path}:${block.line}: the example has a file ${file}`)
    }

    project.write(file, complete(block.code))
  }
}

// One program for many guides saves time. Types that a guide adds to the package could conflict
// with those of another guide, so such a guide is a program of its own.
function isSeparate ({ path, blocks }: Guide): boolean {
  const folder = join(root, dirname(path))
  const importsExample = blocks.some(({ code }) => /from '\.\.?\//.test(code))
  const files = importsExample && path !== 'README.md'
    ? readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(name =>
      name.endsWith('.ts')
    )
    : []

  return [
    ...blocks.map(({ code }) => code),
    ...files.map(name => readFileSync(join(folder, name), 'utf8'))
  ].some(code => /^declare (module|global)/m.test(code))
}

const [separate, together] = [guides.filter(isSeparate), guides.filter(guide => !isSeparate(guide))]

for (const group of [together, ...separate.map(guide => [guide])]) {
  const names = group.flatMap(guide => guide.blocks.filter(isCompiled).length > 0 ? guide.path : [])

  t.test(`every code block compiles: ${names.join(', ')}`, async t => {
    const files = group.flatMap(guide =>
      guide.blocks.filter(isCompiled).map(block => getFile(guide, block))
    )
    t.ok(files.length > 0)
    t.strictSame(compile(files), [])
  })
}

t.test('a code block with an error does not compile', async t => {
  project.write('wrong.ts', complete('tokenAuth; app.get("/", async r => r.auth?.userName)'))
  t.match(compile(['wrong.ts']), [/^\/wrong\.ts:\d+: .*'userName' does not exist on type 'Auth'/])
})

/** Asserts that an output has the form of a block `text output`. */
function checkOutput (t: Test, output: string, expected: Block | undefined): void {
  if (expected === undefined) {
    return
  }

  const parts = expected.code.trim().split('…').map(part =>
    part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
  )
  t.match(output.trim(), new RegExp(`^${parts.join('[^]*?')}$`), `line ${expected.line}`)
}

interface Program {
  readonly block: Block
  readonly output: Block | undefined
  /** Commands that are run while it serves, with their expected outputs. */
  readonly commands: ReadonlyArray<{ readonly block: Block, readonly output: Block | undefined }>
}

function findPrograms ({ path, blocks }: Guide): Program[] {
  const programs: Array<{
    block: Block
    output: Block | undefined
    commands: Array<{ block: Block, output: Block | undefined }>
  }> = []

  for (const [i, block] of blocks.entries()) {
    const [next] = blocks.slice(i + 1)
    const output = next?.language === 'text' && next.marks.includes('output') ? next : undefined

    if (isCompiled(block) && block.marks.includes('run')) {
      programs.push({ block, output, commands: [] })
    } else if (block.language === 'sh' && block.marks.includes('run')) {
      const server = programs.at(-1)

      if (server === undefined) {
        throw new Error(`${path}:${block.line}: no server before these commands`)
      }

      server.commands.push({ block, output })
    }
  }

  return programs
}

/** Starts a program and collects its output. */
function start (file: string, command: string, args: readonly string[], env = {}): {
  readonly child: ReturnType<typeof spawn>
  readonly url: Promise<string>
  readonly finished: Promise<{ readonly code: number | null, readonly output: string }>
} {
  const child = spawn(command, args, {
    cwd: join(project.folder, dirname(file)),
    env: createChildEnv({ AUTH_SECRET, ...env }),
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 60_000
  })
  const lines: string[] = []
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', text => {
    errors += text
  })
  const finished = new Promise<{ code: number | null, output: string }>((resolve, reject) => {
    child.once('error', reject).once('close', code => {
      const output = lines.join('\n')
      resolve({ code, output: code === 0 ? output : output + errors })
    })
  })
  const url = new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', line => {
      lines.push(line)
      const url = /http:\/\/(127\.0\.0\.1|localhost|\[::1\]):\d+/.exec(line)?.[0]

      if (url !== undefined) {
        resolve(url)
      }
    })
    finished.then(({ output }) => {
      reject(new Error(`${file} did not listen: ${output}`))
    }, reject)
  })
  // Nobody waits for the address of a program without a server.
  url.catch(() => {})
  return { child, url, finished }
}

const SEPARATOR = '-- next block --'

for (const guide of guides) {
  for (const { block, output, commands } of findPrograms(guide)) {
    const name = (Object.keys(databases) as Array<keyof typeof databases>)
      .find(name => block.marks.includes(name))
    const skip = name === undefined ? false : databases[name].skip

    t.test(`${guide.path}:${block.line} runs`, { skip }, async t => {
      const env = name === undefined ? {} : await databases[name].open(t)
      const file = getFile(guide, block)
      const isServer = /\blisten\(/.test(block.code)
      project.write(file, isServer ? block.code.replace(/\b3000\b/, '0') : block.code)
      const loader = join(root, 'node_modules/tsx/dist/loader.mjs')
      const path = join(project.folder, file)
      const program = start(file, process.execPath, ['--import', loader, path], env)
      t.teardown(() => program.child.kill('SIGKILL'))

      if (!isServer) {
        const { code, output: written } = await program.finished
        t.equal(code, 0, written)
        checkOutput(t, written, output)
        return
      }

      const url = await program.url
      const script = commands.map(({ block: { code } }) => code).join(`echo; echo ${SEPARATOR}\n`)
        .replaceAll(/(http:\/\/)?(localhost|127\.0\.0\.1):3000/g, url)
      const shell = start(file, 'sh', ['-ec', script])
      const { code, output: written } = await shell.finished
      t.equal(code, 0, written)
      const outputs = written.split(SEPARATOR)
      commands.forEach(({ output }, i) => {
        checkOutput(t, outputs[i] ?? '', output)
      })
    })
  }
}
