import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { MAX_SILENCE } from '../../../src/client/node/file-lock.js'
import { fileStorage } from '../../../src/client/node/index.js'
import { bundleScript, findLockOwner, startScript } from '../../helpers/node-processes.js'
import type { ScriptProcess } from '../../helpers/node-processes.js'

const skip = process.platform === 'win32'

t.test('no increment is lost when owners are killed and paused', { skip }, async t => {
  const folder = t.testdir()
  const script = await bundleScript('test/client/node/counter-process.ts', folder)
  const path = join(folder, 'counter')
  const all: ScriptProcess[] = []

  const start = (): ScriptProcess => {
    const started = startScript(t, script, [path])
    all.push(started)
    return started
  }

  const running = Array.from({ length: 6 }, start)

  /** Waits for a process that has the lock. */
  async function waitForOwner (): Promise<ScriptProcess> {
    for (;;) {
      const owner = findLockOwner(path, running)

      if (owner) {
        return owner
      }

      await sleep(1)
    }
  }

  for (let round = 0; round < 4; round++) {
    // A killed owner is noticed immediately.
    for (let kills = 0; kills < 5; kills++) {
      const killed = await waitForOwner()
      await killed.kill()
      running[running.indexOf(killed)] = start()
      await sleep(200)
    }

    // A paused owner loses its lock, and notices it when it continues.
    const owner = await waitForOwner()
    owner.pause()
    await sleep(MAX_SILENCE + 1500)
    owner.resume()
    await sleep(300)
  }

  await Promise.all(running.map(({ kill }) => kill()))
  const lines = all.flatMap(({ lines }) => lines)
  const saved = lines.map(Number).filter(number => number > 0)
  t.strictSame(
    lines.filter(line => !/^(?:\d+|lock-lost)$/.test(line)),
    [],
    'no other error'
  )
  t.equal(new Set(saved).size, saved.length, 'no number is saved twice')
  const last = Number(await fileStorage(path).get())
  t.ok(last >= Math.max(...saved), `${last} is the last number`)
  const unprinted = last - saved.length
  t.ok(unprinted <= 24, `${unprinted} increments were saved by processes killed before they print`)
  t.ok(saved.length > 500, `${saved.length} increments`)
  const lost = lines.filter(line => line === 'lock-lost').length
  t.comment(`${saved.length} increments, ${lost} of 4 paused owners lost their lock while working`)
})
