// Preloaded by tap into every test process (`test-env` in package.json). Compiles TypeScript with
// esbuild and keeps the result on disk. tap itself loads the TypeScript compiler twice into every
// process and compiles `src` again for every file. That costs more CPU than most tests.

import { register } from 'node:module'

register('./typescript-hooks.js', import.meta.url)
// Processes that a test starts choose their own loader.
delete process.env.NODE_OPTIONS
