// Runs `npm test`. A process costs about 1.5 s of CPU before its first test, and most test files
// need less. So up to 20 test files share a process, which runs them one after the other.
//
// A test file that changes the state of its process has a comment `// Own process: <reason>`. Such
// a file runs alone. So do files and folders in the arguments, as in `npm test -- test/lib`.

import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** Each file in it imports the test files of one process. compact-reporter.js knows the path. */
const SHARED = '.tap/shared'

/** Files that share a process. More would not keep both processors busy at the end. */
const MAX_FILES = 20

/** Folders whose files take the longest. They start first, each in a process of its own. */
const LONGEST = [
  'test/http/instances',
  'test/stores/mysql',
  'test/stores/postgres',
  'test/stores/conformance',
  'test/stores/redis'
]

/** Test files that `npm run test:slow` runs. */
const SLOW = /\.slow\.test\.ts$|^test\/(browser|package)\//

const args = process.argv.slice(2)
const hasFiles = args.some(arg => !arg.startsWith('-'))
const { status } = spawnSync(
  'tap',
  ['--disable-coverage', ...args, ...hasFiles ? [] : ['--timeout=900', ...prepareFiles()]],
  { stdio: 'inherit', shell: process.platform === 'win32' }
)
process.exitCode = status ?? 1

/** Returns the files that tap runs, those with the most tests first. */
function prepareFiles () {
  const folders = new Map()
  const alone = []
  const files = readdirSync('test', { recursive: true })
    .map(path => join('test', path).replaceAll('\\', '/'))
    .filter(path => path.endsWith('.test.ts') && !SLOW.test(path) && !path.includes('node_modules'))
    .sort()

  for (const file of files) {
    if (/^\/\/ Own process: ./m.test(readFileSync(file, 'utf8'))) {
      alone.push(file)
    } else {
      const folder = dirname(file)
      folders.set(folder, [...folders.get(folder) ?? [], file])
    }
  }

  rmSync(SHARED, { recursive: true, force: true })
  mkdirSync(SHARED, { recursive: true })
  const longest = LONGEST.filter(folder => folders.has(folder))
    .map(folder => ({ folder, files: folders.get(folder) }))
  const others = [...folders].filter(([folder]) => !LONGEST.includes(folder))
    .flatMap(([folder, files]) => split(folder, files))
  return [...[...longest, ...group(others)].map(writeSharedFile), ...alone]
}

/** Splits the files of a large folder into parts of the same size. */
function split (folder, files) {
  const count = Math.ceil(files.length / MAX_FILES)

  return Array.from({ length: count }, (_, i) => ({
    folder: count > 1 ? `${folder}.${i + 1}` : folder,
    files: files.filter((_file, index) => index % count === i)
  }))
}

/** Puts small folders together, and sorts the groups by their size. */
function group (parts) {
  const groups = []

  for (const { folder, files } of parts.sort((a, b) => b.files.length - a.files.length)) {
    const found = groups.find(group => group.files.length + files.length <= MAX_FILES)

    if (found === undefined) {
      groups.push({ folder, files })
    } else {
      found.files = [...found.files, ...files]
    }
  }

  return groups.sort((a, b) => b.files.length - a.files.length)
}

/** Writes a file that runs test files, named after the first of their folders. */
function writeSharedFile ({ folder, files }) {
  const path = `${SHARED}/${folder.replaceAll('/', '.')}.mjs`
  const code = [
    'import { runTestFiles } from \'../../test/helpers/ci/shared-process.js\'',
    '',
    `await runTestFiles(${JSON.stringify(files, null, 2)})`,
    ''
  ]
  writeFileSync(path, code.join('\n'))
  return path
}
