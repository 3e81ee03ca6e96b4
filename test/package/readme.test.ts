// The README and the lists that left it: routes, errors, options, events and headers.
// guides.test.ts compiles and runs the code blocks, guides-prose.test.ts reads sentences and links.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t from 'tap'
import { dpopShape } from '../../src/options/dpop.js'
import { oauthShape } from '../../src/options/oauth.js'
import { listenerShape } from '../../src/options/listeners.js'
import { optionsShape } from '../../src/options/options.js'
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
import { getChromiumSkipReason, startBrowser } from '../helpers/browser/browser.js'
import { createChildEnv } from '../helpers/child-env.js'
import { createConsumer, root } from '../helpers/consumer.js'
import { readGuide, readGuides } from '../helpers/guides.js'

const readme = readGuide('README.md')
const quickStart = readme.blocks.find(block => block.marks.includes('run'))?.code ?? ''

const protocol = readFileSync(join(root, 'src/protocol.ts'), 'utf8')
const [, codeType = ''] = /type ErrorCode =([^]+?)(?:\n\n|$)/.exec(protocol) ?? []
const errorCodes = [...codeType.matchAll(/'(\w+)'/g)].map(([, code = '']) => code)

/** Returns the first column of the tables of a page. */
function readNames (path: string): string {
  return [...readGuide(path).text.matchAll(/^\| ([^|]+) \|/gm)].map(([, cell]) => cell).join('\n')
}

t.test('a guide names all headers that CORS must expose', async t => {
  const { text } = readGuide('examples/browser-cookies/README.md')
  t.match(text, `exposedHeaders // ${exposedHeaders.join(', ')}\n`)
})

t.test('the quick start has less than 25 lines', async t => {
  t.match(quickStart, /app\.listen/)
  t.ok(quickStart.trim().split('\n').length < 25)
})

t.test('the page of the quick start shows a wrong password, logs in and stays signed in', {
  skip: getChromiumSkipReason()
}, async t => {
  const consumer = createConsumer()
  t.teardown(() => {
    consumer.remove()
  })
  consumer.write('app.ts', quickStart.replace('3000', '0'))
  const loader = join(root, 'node_modules/tsx/dist/loader.mjs')
  const child = spawn(process.execPath, ['--import', loader, 'app.ts'], {
    cwd: consumer.folder,
    env: createChildEnv({ AUTH_SECRET: 'k3Jd8sLq0Zx7Vb2Nm5Tg9Ry4Wp1Hc6Uf' }),
    stdio: ['ignore', 'pipe', 'inherit']
  })
  t.teardown(() => child.kill('SIGKILL'))
  const [line] = await once(createInterface({ input: child.stdout }), 'line') as [string]
  const port = /http:\/\/(?:127\.0\.0\.1|\[::1\]):(\d+)/.exec(line)?.[1]

  const browser = await startBrowser(t)
  const page = await browser.newPage()
  const questions: string[] = []
  let password = 'wrong'
  page.on('dialog', dialog => {
    questions.push(dialog.message())
    void dialog.accept(dialog.message() === 'Name' ? 'ann' : password)
  })
  await page.goto(`http://localhost:${port}`)
  await page.getByText('User name or password is incorrect').waitFor()
  password = 'correct horse'
  await page.reload()
  await page.getByText('Hello 1').waitFor()
  await page.reload()
  await page.getByText('Hello 1').waitFor()
  t.strictSame(questions, ['Name', 'Password', 'Name', 'Password'])
})

t.test('a page lists every route', async t => {
  const names = readNames('examples/protecting-routes/routes.md')
  const { jwks, metadata, ...below } = defaultPaths

  for (const path of [jwks, metadata, ...Object.values(below).map(path => `/auth${path}`)]) {
    t.ok(names.includes(`${path}\``), path)
  }
})

t.test('a page lists every error, and the README names no other one', async t => {
  // Codes with the same reaction share a row: `AUTH_REFRESH_INVALID`, `_EXPIRED`.
  const cells = readNames('examples/protecting-routes/routes.md').split('\n')
  const listed = cells.flatMap(cell => {
    const [first = '', ...endings] = [...cell.matchAll(/`([A-Z_]+)`/g)].map(([, code = '']) => code)
    const stem = first.replace(/_[A-Z]+$/, '')
    return [first, ...endings.map(code => code.startsWith('_') ? stem + code : code)]
  }).filter(code => code.startsWith('AUTH_'))
  t.strictSame(listed.toSorted(), [...errorCodes].sort())

  for (const [code] of readme.text.matchAll(/AUTH_(?!SECRET)[A-Z_]+[A-Z]/g)) {
    t.ok(errorCodes.some(known => known.startsWith(code)), code)
  }
})

t.test('a page lists every option', async t => {
  const { text } = readGuide('examples/protecting-routes/options.md')
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
    ...dpopShape
  })
  t.ok(names.length > 50)

  for (const name of names) {
    t.match(text, new RegExp(`\`[^\`\n]*\\b${name}\\b`), name)
  }
})

t.test('the README has a row for each top-level option with the same default', async t => {
  const [, section = ''] = readme.text.split('## Options')
  const rows = [...section.matchAll(/^\| (`[^|]+) \| ([^|]+) \|/gm)]
  const named = rows.flatMap(([, names = '']) => names.replaceAll('`', '').split(', '))
  t.strictSame(named.toSorted(), Object.keys(optionsShape).sort())
  const { text } = readGuide('examples/protecting-routes/options.md')

  for (const [, option = '', defaults = ''] of rows) {
    for (const [, name, value = ''] of defaults.matchAll(/`(\w+): ([^`]+)`/g)) {
      const path = option.replaceAll('`', '')
      const row = text.split('\n').find(line => line.startsWith(`| \`${path}.${name}\``)) ??
        text.split('\n').find(line => line.startsWith(`| \`${path}\``)) ?? ''
      t.ok(row.includes(name ?? '') && row.includes(value), `${path}.${name}: ${value}`)
    }
  }
})

t.test('a page lists every event', async t => {
  const names = readNames('examples/operations/events.md')

  for (const name of Object.keys(listenerShape)) {
    t.match(names, `\`${name}\``)
  }
})

t.test('a guide names every method of a store', async t => {
  const texts = readGuides().map(({ text }) => text)
  const names = Object.getOwnPropertyNames(MemoryStore.prototype)

  for (const name of names.filter(name => name !== 'constructor')) {
    t.ok(texts.some(text => new RegExp(`\`[^\`\n]*\\b${name}\\b`).test(text)), name)
  }
})
