import { join } from 'node:path'
import t from 'tap'
import { fileStorage } from '../../../src/client/node/index.js'
import { createTestApp, PASSWORD } from '../../helpers/app.js'
import { bundleScript, startScript } from '../../helpers/node-processes.js'

t.test('a script that does not dispose its client ends by itself', async t => {
  const { app } = await createTestApp()
  t.teardown(() => app.close())
  const baseUrl = await app.listen({ host: '127.0.0.1', port: 0 })
  const folder = t.testdir()
  const path = join(folder, 'session.json')
  const script = await bundleScript('test/client/node/script-process.ts', folder)

  for (const step of [PASSWORD, 'a second time', 'logout']) {
    const run = startScript(t, script, [baseUrl, path, step])
    let calledAt = 0

    while (calledAt === 0) {
      await new Promise(resolve => setTimeout(resolve, 5))
      calledAt = run.lines.includes('200') ? performance.now() : 0
    }

    t.strictSame(await run.ended, [0, null])
    const duration = performance.now() - calledAt
    // A timer of the client would keep the process alive for 10 s.
    t.ok(duration < 5000, `${step === PASSWORD ? 'login' : step}: ${duration} ms`)
  }

  t.equal(await fileStorage(path).get(), null)
})
