import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import t from 'tap'
import { dpopShape } from '../../src/options/dpop.js'
import { oauthShape } from '../../src/options/oauth.js'
import { listenerShape, optionsShape } from '../../src/options/options.js'
import { openApiShape } from '../../src/options/openapi.js'
import { passwordShape } from '../../src/options/passwords.js'
import {
  accessTokenShape,
  refreshTokenShape,
  revocationShape,
  sweepShape
} from '../../src/options/sessions.js'
import { startupShape } from '../../src/options/startup.js'
import { accountLimitShape, addressLimitShape, throttleShape } from '../../src/options/throttle.js'
import { cookieShape } from '../../src/options/transport.js'
import { defaultPaths, exposedHeaders } from '../../src/protocol.js'
import { MemoryStore } from '../../src/stores/memory/index.js'
import { createChildEnv } from '../helpers/child-env.js'
import { createConsumer, root } from '../helpers/consumer.js'

const readme = readFileSync(join(root, 'README.md'), 'utf8')
const blocks = [...readme.matchAll(/^```ts( run)?\n(.*?)^```$/gms)].map(([, run, code = '']) => ({
  run: run !== undefined,
  code
}))
const shellBlocks = [...readme.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, code = '']) => code)

t.test('the README names all headers that CORS must expose', async t => {
  t.match(readme, `exposedHeaders // ${exposedHeaders.join(', ')}\n`)
})

t.test('the quick start runs, in under 20 lines', async t => {
  const [quickStart] = blocks.filter(block => block.run)
  const code = quickStart?.code ?? ''
  t.ok(code.trim().split('\n').length < 20)
  const consumer = createConsumer()
  t.teardown(() => {
    consumer.remove()
  })
  consumer.write('quick-start.ts', code.replace('3000', '0'))
  const child = spawn(process.execPath, [
    '--import',
    join(root, 'node_modules/tsx/dist/loader.mjs'),
    'quick-start.ts'
  ], {
    cwd: consumer.folder,
    env: createChildEnv({ AUTH_SECRET: 'k3Jd8sLq0Zx7Vb2Nm5Tg9Ry4Wp1Hc6Uf' }),
    stdio: ['ignore', 'pipe', 'inherit']
  })
  t.teardown(() => child.kill('SIGKILL'))
  const [line] = await once(createInterface({ input: child.stdout }), 'line') as [string]
  const url = /http:\/\/127\.0\.0\.1:\d+|http:\/\/\[::1\]:\d+/.exec(line)?.[0] ?? line

  const requests = shellBlocks.filter(block => block.includes('curl')).join('')
  const script = requests.replaceAll('localhost:3000', url)
  const { stdout } = await promisify(execFile)('sh', ['-ec', script])
  t.match(stdout, /^Hello 1\{"sessions":\[.+"access_token".+"AUTH_SESSION_REVOKED"/)
})

t.test('the README names every route and option', async t => {
  const { jwks, metadata, ...below } = defaultPaths

  for (const path of [jwks, metadata, ...Object.values(below).map(path => `/auth${path}`)]) {
    t.ok(readme.includes(`${path}\``), path)
  }

  const names = Object.keys({
    ...optionsShape,
    ...accessTokenShape,
    ...refreshTokenShape,
    ...revocationShape,
    ...sweepShape,
    ...startupShape,
    ...openApiShape,
    ...cookieShape,
    ...passwordShape,
    ...throttleShape,
    ...accountLimitShape,
    ...addressLimitShape,
    ...oauthShape,
    ...dpopShape,
    ...listenerShape
  }).concat(Object.getOwnPropertyNames(MemoryStore.prototype))
  t.ok(names.length > 60)

  for (const name of names.filter(name => name !== 'constructor')) {
    t.match(readme, new RegExp(`\`[^\`\n]*\\b${name}\\b`), name)
  }
})
