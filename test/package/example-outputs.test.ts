// The guides show the output of these scripts word for word.

import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { createChildEnv } from '../helpers/child-env.js'
import { root } from '../helpers/consumer.js'

const scripts = [
  'rotation/rotation.ts',
  'rotation/schedules.ts',
  'browser-cookies/origins.ts',
  'throttling/throttling.ts'
]

for (const script of scripts) {
  t.test(`the guide shows the output of ${script}`, async t => {
    const guide = readFileSync(join(root, 'examples', script, '../README.md'), 'utf8')
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--import', 'tsx', `examples/${script}`],
      { cwd: root, env: createChildEnv() }
    )
    const [firstLine = ''] = stdout.split('\n')
    const shown = guide.split('```').find(block => block.startsWith(`text\n${firstLine}`))
    t.equal(shown, `text\n${stdout}`)
  })
}
