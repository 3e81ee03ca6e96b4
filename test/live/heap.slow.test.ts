import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const script = fileURLToPath(new URL('heap-process.ts', import.meta.url))

t.test('a followed session with one listener takes less than 1.2 kB', t => {
  const args = ['--expose-gc', ...process.execArgv, script]
  const { stdout, stderr, status } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  t.equal(status, 0, stderr)
  const { total, own, left } = JSON.parse(stdout) as Record<'total' | 'own' | 'left', number>
  t.comment(`${total} bytes in all, ${own} bytes beside the AbortController, ${left} bytes left`)
  t.ok(total < 1200)
  t.ok(own < 300)
  t.ok(left < 20)
  t.end()
})
