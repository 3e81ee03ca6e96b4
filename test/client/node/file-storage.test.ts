import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import { fileStorage, FileStorageError } from '../../../src/client/node/index.js'

const { signal } = new AbortController()
const isWindows = process.platform === 'win32'

function createPath (t: Test): string {
  return join(t.testdir(), 'config', 'session.json')
}

function getMode (path: string): string {
  return (statSync(path).mode & 0o777).toString(8)
}

function captureWarnings (t: Test): string[] {
  const warnings: string[] = []
  t.intercept(process, 'emitWarning', {
    value: (warning: string) => {
      warnings.push(warning)
    }
  })
  return warnings
}

/** Lets another process take over the lock, as it does after 5 s of silence. */
function takeOver (path: string): void {
  const held = join(`${path}.lock`, 'held')
  const [name = ''] = readdirSync(held)
  renameSync(join(held, name), join(`${path}.lock`, `removed.${name}`))
}

t.test('saves, replaces and deletes a value', async t => {
  const path = createPath(t)
  const storage = fileStorage(path)
  t.equal(await storage.get(), null)
  await storage.remove()
  await storage.set('out:"a"\n')
  t.equal(await storage.get(), 'out:"a"\n')
  await storage.lock(() => storage.set('b'), signal)
  t.equal(await fileStorage(path).get(), 'b')
  t.equal(readFileSync(path, 'utf8'), '{"version":1,"value":"b"}\n')
  await storage.remove()
  t.equal(existsSync(path), false)
  await storage.set('c')
  await storage.lock(() => storage.remove(), signal)
  t.equal(await storage.get(), null)
  await storage.lock(() => storage.remove(), signal)
  t.strictSame(readdirSync(join(path, '..')), ['session.json.lock'])
  t.strictSame(readdirSync(`${path}.lock`), [])
})

t.test('only the user can access file and folders', { skip: isWindows }, async t => {
  const path = createPath(t)
  const umask = process.umask(0)
  t.teardown(() => process.umask(umask))
  const storage = fileStorage(path)
  await storage.lock(() => storage.set('a'), signal)
  t.equal(getMode(path), '600')
  t.equal(getMode(join(path, '..')), '700')
  t.equal(getMode(`${path}.lock`), '700')
})

t.test('removes permissions of other users with a warning', { skip: isWindows }, async t => {
  const path = createPath(t)
  const warnings = captureWarnings(t)
  await fileStorage(path).set('a')
  chmodSync(path, 0o644)
  t.equal(await fileStorage(path).get(), 'a')
  t.equal(getMode(path), '600')
  t.equal(await fileStorage(path).get(), 'a')
  t.match(warnings, [/session\.json had the mode 644, .* the mode is now 600$/])
  t.equal(warnings.length, 1)
  chmodSync(`${path}.lock`, 0o777)
  await fileStorage(path).set('b')
  t.equal(getMode(`${path}.lock`), '700')
})

t.test('keeps the mode of a file that a link leads to', { skip: isWindows }, async t => {
  const path = createPath(t)
  const target = join(t.testdirName, 'other')
  await fileStorage(path).set('a')
  renameSync(path, target)
  symlinkSync(target, path)
  t.equal(await fileStorage(path).get(), 'a', 'a private file is read')
  chmodSync(target, 0o644)
  await t.rejects(fileStorage(path).get(), { code: 'not-private', message: /is a symbolic link/ })
  t.equal(getMode(target), '644')
})

t.test('rejects a file of another user', { skip: process.getuid?.() !== 0 }, async t => {
  const path = createPath(t)
  await fileStorage(path).set('a')
  chownSync(path, 1234, 1234)
  const error = await fileStorage(path).get().catch((error: unknown) => error)
  t.ok(error instanceof FileStorageError)
  t.match(error, {
    code: 'not-private',
    message: `${path} belongs to user 1234, but this process runs as user 0`
  })
})

const invalid = {
  'an empty file': '',
  'a truncated file': '{"version":1,"val',
  'a file of zeros': '\0'.repeat(40),
  'another format': '{"version":2,"value":"a"}',
  'a value that is no string': '{"version":1,"value":{}}',
  'JSON that is no object': 'null'
}

for (const [name, content] of Object.entries(invalid)) {
  t.test(`${name} counts as empty until the next write`, async t => {
    const path = createPath(t)
    mkdirSync(join(path, '..'))
    writeFileSync(path, content, { mode: 0o600 })
    const storage = fileStorage(path)
    t.equal(await storage.get(), null)
    await storage.set('a')
    t.equal(await storage.get(), 'a')
  })
}

t.test('a reader never sees a part of a write', async t => {
  const path = createPath(t)
  const storage = fileStorage(path)
  const values = ['a'.repeat(5000), 'b'.repeat(3000)]
  await storage.set(values[0] as string)
  const written: string[] = []
  const writer = (async () => {
    for (let index = 0; index < 50; index++) {
      const value = values[index % 2] as string
      await storage.set(value)
      written.push(value)
    }
  })()
  const seen = new Set<string | null>()

  while (written.length < 50) {
    seen.add(await fileStorage(path).get())
  }

  await writer
  t.strictSame([...seen].sort(), values)
})

for (const method of ['set', 'remove'] as const) {
  t.test(`${method} rejects if another process took over the lock`, async t => {
    const path = createPath(t)
    const storage = fileStorage(path)
    await storage.set('old')
    await storage.lock(async () => {
      takeOver(path)
      await fileStorage(path).lock(() => fileStorage(path).set('of the next owner'), signal)
      const error = await (method === 'set' ? storage.set('of the first owner') : storage.remove())
        .catch((error: unknown) => error)
      t.ok(error instanceof FileStorageError)
      t.match(error, { code: 'lock-lost', message: /this process stood still$/ })
      t.notMatch(String(error), 'of the first owner')
    }, signal)
    t.equal(await storage.get(), 'of the next owner')
    await storage.lock(() => storage.set('again'), signal)
    t.equal(await storage.get(), 'again')
    t.strictSame(readdirSync(`${path}.lock`), [])
  })
}

t.test('a lock shows signs of life while work runs', async t => {
  const path = createPath(t)
  const storage = fileStorage(path)
  await storage.lock(async () => {
    const [name = ''] = readdirSync(join(`${path}.lock`, 'held'))
    const folder = join(`${path}.lock`, 'held', name)
    utimesSync(folder, 0, 0)

    while (statSync(folder).mtimeMs === 0) {
      await delay(50)
    }

    t.ok(Math.abs(Date.now() - statSync(folder).mtimeMs) < 60_000)
  }, signal)
})

t.test('a folder at the path is an error and is not deleted', async t => {
  const path = t.testdir({ content: '' })
  const storage = fileStorage(path)
  const mode = getMode(path)
  await t.rejects(storage.get(), { code: 'EISDIR' })
  await t.rejects(storage.set('a'))
  t.equal(getMode(path), mode)
  await storage.lock(() => storage.remove(), signal)
  t.strictSame(readdirSync(path), ['content'])
})

t.test('a failed write keeps the old value and leaves no file', async t => {
  const path = createPath(t)
  const storage = fileStorage(path)
  await storage.set('old')
  mkdirSync(`${path}.old`)
  await t.rejects(fileStorage(`${path}.old`).set('new'))
  t.strictSame(readdirSync(`${path}.old.lock`), [])
  t.equal(await storage.get(), 'old')
})

t.test('throws on an invalid path', async t => {
  t.throws(() => fileStorage(''), new TypeError('"path" must be a non-empty string'))
  t.throws(
    () => fileStorage('~/.config/session.json'),
    new TypeError('"path" must not start with "~"; use os.homedir()')
  )
})

t.test('the working directory may change later', async t => {
  const folder = t.testdir()
  const before = process.cwd()
  process.chdir(folder)
  const storage = fileStorage('session.json')
  process.chdir(before)
  await storage.set('a')
  t.ok(existsSync(join(folder, 'session.json')))
})
