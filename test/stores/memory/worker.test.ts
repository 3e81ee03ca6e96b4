import cluster from 'node:cluster'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { createChildEnv } from '../../helpers/child-env.js'

t.test('a memory store warns in a worker, because it shares nothing', async t => {
  cluster.setupPrimary({
    exec: fileURLToPath(new URL('worker.ts', import.meta.url)),
    execArgv: ['--import', './test/helpers/ci/typescript.js']
  })
  const worker = cluster.fork(createChildEnv())
  t.teardown(() => worker.kill())
  const [warnings] = await once(worker, 'message')
  t.match(warnings, [/^sessions are in the memory of this worker: .+; use a store with a database/])
})

t.test('a memory store does not warn in the only process', async t => {
  t.strictSame(await new MemoryStore().check(), [])
})
