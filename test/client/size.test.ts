import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import t from 'tap'

/** Size of each entry point in bytes, minified and gzipped: as measured, and 10 % more. */
const sizes = {
  index: { measured: 7704, limit: 8474, name: 'createAuthClient' },
  'react/index': { measured: 656, limit: 721, name: 'AuthProvider' },
  dpop: { measured: 1434, limit: 1577, name: 'createDpopFetch' },
  bundle: { measured: 8847, limit: 9731, name: 'createDpopFetch' }
}

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')

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
    t.ok(length <= limit, `${length} bytes, ${measured} when the limit was set`)
    t.notMatch(code, /jwks/, 'contains no code of the server')
    t.ok(readme.includes(`${(measured / 1000).toFixed(1)} kB`), 'the README has the measured size')
  })
}
