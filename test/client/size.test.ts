// What a browser has to load: the client alone, bundled and minified, as it goes over the wire.

import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import t from 'tap'

const LIMIT = 4000

t.test(`less than ${LIMIT} bytes, gzipped`, async t => {
  const { outputFiles: [file] } = await build({
    entryPoints: [fileURLToPath(new URL('../../src/client/index.ts', import.meta.url))],
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    write: false
  })
  const { text = '' } = file ?? {}
  const { length } = gzipSync(text, { level: 9 })
  t.ok(text.includes('createAuthClient') && length < LIMIT, `${length} bytes`)
  t.notMatch(text, /jwks/, "nothing of the server's")
})
