// Runs `npm test`. A process costs about 1 s of CPU before its first test, and most test files need
// less. So all test files of a folder share a process, which runs them one after the other.
//
// A test file that changes the state of its process has a comment `// Own process: <reason>`. Such
// a file runs alone. So do files and folders in the arguments, as in `npm test -- test/lib`.

import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** Each file in it imports the test files of one folder. compact-reporter.js knows the path. */
const SHARED = '.tap/shared'

/** Files of a folder that share a process. More would not keep both processors busy at the end. */
const MAX_FILES = 20

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
  const shared = [...folders].sort(([, a], [, b]) => b.length - a.length)
    .flatMap(([folder, files]) => writeSharedFiles(folder, files))
  return [...shared, ...alone]
}

function writeSharedFiles (folder, files) {
  const count = Math.ceil(files.length / MAX_FILES)

  return Array.from({ length: count }, (_, i) =>
    writeSharedFile(
      `${SHARED}/${folder.replaceAll('/', '.')}${count > 1 ? `.${i + 1}` : ''}.mjs`,
      files.filter((_file, index) => index % count === i)
    ))
}

function writeSharedFile (path, files) {
  const code = [
    'import { runTestFiles } from \'../../test/helpers/ci/shared-process.js\'',
    '',
    `await runTestFiles(${JSON.stringify(files, null, 2)})`,
    ''
  ]
  writeFileSync(path, code.join('\n'))
  return path
}
