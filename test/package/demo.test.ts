// The examples: the demo as `npm run demo:tour` plays it (a server process, killed in the middle), and a store of one's own.

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import { childEnv } from '../helpers/child-env.js'
import { root } from '../helpers/consumer.js'

const run = promisify(execFile)
const options = { cwd: root, env: childEnv() }

t.test('the tour sees what was promised', async t => {
  const { stdout } = await run(process.execPath, ['--import', 'tsx', 'examples/demo/tour.ts'], options)
  t.match(stdout, 'The tour is over: everything was as promised.')
  t.equal(stdout.match(/started in \d+ ms/g)?.length, 2, 'it was started, killed, and started again')
})

t.test('the store of a reader\'s own holds the laws', async t => {
  const { stdout } = await run(process.execPath, ['--import', 'tsx', '--test', 'examples/own-store/conformance.ts'], options)
  t.match(stdout, /# pass (3|4)\d\n# fail 0/)
})
