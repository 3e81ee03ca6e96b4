import { Session } from 'node:inspector/promises'
import { writeFileSync } from 'node:fs'
import { startProcess } from './processes.js'
const [mod = 'ours', name = 'startRefresh', out = '/tmp/refresh.cpuprofile'] = process.argv.slice(2)
const load = startProcess('load.ts', 1)
const { [name]: start } = await import(`./contestants/${mod}.ts`) as any
const cpu = () => { const { user, system } = process.cpuUsage(); return user + system }
let like
if (mod === 'bare') like = { presented: 'x'.repeat(371), answer: JSON.stringify({ access_token: 'x'.repeat(330), refresh_token: 'y'.repeat(371), token_type: 'bearer', expires_in: 900, user: { id: 'user-00000000' } }), headers: { 'cache-control': 'no-store' } }
const { port, work } = await start({ alg: 'HS256', tokens: 65, like })
await load.call('aim', { target: 'x', port, work })
await load.call('connect', { target: 'x', connections: 64 })
await load.call('run', { target: 'x', ms: 5000, least: 64 })
for (let i = 0; i < 3; i++) {
  const b = cpu(); const n = await load.call<number>('run', { target: 'x', ms: 1500, least: 64 })
  console.log('us each', ((cpu() - b) / n).toFixed(1))
}
const s = new Session(); s.connect(); await s.post('Profiler.enable'); await s.post('Profiler.setSamplingInterval', { interval: 100 }); await s.post('Profiler.start')
const n = await load.call<number>('run', { target: 'x', ms: 6000, least: 64 })
const { profile } = await s.post('Profiler.stop')
console.log('profiled', n)
writeFileSync(out, JSON.stringify(profile))
await load.stop(); process.exit()
