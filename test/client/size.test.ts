import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import t from 'tap'
import { readGuide } from '../helpers/guides.js'

/** Size of each entry point in bytes, minified and gzipped, and its limit. */
const sizes = {
  index: { measured: 8264, limit: 9001, name: 'createAuthClient' },
  'react/index': { measured: 679, limit: 747, name: 'AuthProvider' },
  'live/index': { measured: 2728, limit: 2869, name: 'openSocket' },
  dpop: { measured: 1537, limit: 1593, name: 'createDpopFetch' },
  bundle: { measured: 9434, limit: 10282, name: 'createDpopFetch' }
}

const readme = readGuide('README.md').text

async function bundle (entry: string): Promise<string> {
  const { outputFiles: [file] } = await build({
    entryPoints: [fileURLToPath(new URL(`../../src/client/${entry}.ts`, import.meta.url))],
    bundle: true,
    external: ['react'],
    minify: true,
    format: 'esm',
    target: 'es2022',
    write: false
  })
  return file?.text ?? ''
}

for (const [entry, { measured, limit, name }] of Object.entries(sizes)) {
  t.test(`${entry} has at most ${limit} bytes, minified and gzipped`, async t => {
    const code = await bundle(entry)
    const { length } = gzipSync(code, { level: 9 })
    t.ok(code.includes(name))
    t.ok(length <= limit, `${length} bytes; the guides say ${measured}`)
    t.notMatch(code, /jwks/, 'contains no code of the server')
  })
}

t.test('the README has the measured size of the client', async t => {
  t.match(readme, `The client (${(sizes.index.measured / 1000).toFixed(1)} kB)`)
})

t.test('the guide of the client has the measured size of each entry point', async t => {
  const { text } = readGuide('examples/client/README.md')

  for (const [entry, { measured }] of Object.entries(sizes)) {
    const path = entry === 'index' ? '' : `/${entry.replace('/index', '')}`
    const size = `${(measured / 1000).toFixed(1)} kB`
    t.match(text, `\`fastify-token-auth/client${path}\` | ${size} |`)
  }
})

t.test('the guide of DPoP has the measured size of its client', async t => {
  t.match(
    readGuide('examples/dpop/README.md').text,
    `adds ${(sizes.dpop.measured / 1000).toFixed(1)} kB`
  )
})
