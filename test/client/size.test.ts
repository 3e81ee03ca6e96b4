// What a browser has to load: the client alone, bundled and minified, as it goes over the wire.

import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import t from 'tap'

const limits = { index: 4420, dpop: 1300 } as const

async function bundle (name: string): Promise<string> {
  const { outputFiles: [file] } = await build({
    entryPoints: [fileURLToPath(new URL(`../../src/client/${name}.ts`, import.meta.url))],
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    write: false
  })
  return file?.text ?? ''
}

for (const [name, limit] of Object.entries(limits)) {
  t.test(`${name}: less than ${limit} bytes, gzipped`, async t => {
    const text = await bundle(name)
    const { length } = gzipSync(text, { level: 9 })
    t.ok(
      text.includes(name === 'index' ? 'createAuthClient' : 'createDpopFetch') && length < limit,
      `${length} bytes`
    )
    t.notMatch(text, /jwks/, 'nothing of the server\'s')
  })
}
