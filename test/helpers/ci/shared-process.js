import { pathToFileURL } from 'node:url'
import root from 'tap'
// Loads before every test file, because it changes argon2 before other modules load it.
import '../cheap-argon2.ts'
import { setCurrentTest } from './current-test.js'

/** Runs test files one after the other in this process, each as a subtest with its name. */
export async function runTestFiles (files) {
  for (const file of files) {
    await root.test(file, async t => {
      setCurrentTest(t)
      await import(pathToFileURL(file).href)
    })
  }
}
