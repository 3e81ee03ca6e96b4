// The guide of examples/rotation shows the output of its scripts word for word.

import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { createChildEnv } from '../helpers/child-env.js'
import { root } from '../helpers/consumer.js'

const guide = readFileSync(join(root, 'examples/rotation/README.md'), 'utf8')
const shown = [...guide.matchAll(/^```text\n(.*?)^```$/gms)].map(([, text]) => text)

for (const [index, script] of ['rotation.ts', 'schedules.ts'].entries()) {
  t.test(`the guide shows the output of ${script}`, async t => {
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--import', 'tsx', `examples/rotation/${script}`],
      { cwd: root, env: createChildEnv() }
    )
    t.equal(stdout, shown[index])
  })
}
