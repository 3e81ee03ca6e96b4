import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** Preloads of tap that this file replaces. No test mocks modules. */
const REPLACED = /\/@tapjs\/(typescript|mock)\/dist\/esm\/import\.mjs$/

/** Replaces `tap` in test files. */
const TAP = new URL('./tap.js', import.meta.url)

/** Replaces `async-hook-domain` of tap. */
const ERROR_DOMAIN = new URL('./error-domain.js', import.meta.url).href

const cache = new URL('../../../node_modules/.cache/fastify-token-auth/', import.meta.url)
mkdirSync(cache, { recursive: true })

/**
 * Resolves `./file.js` to `./file.ts`, as TypeScript does, and replaces parts of tap.
 *
 * @type {import('node:module').ResolveHook}
 */
export async function resolve (specifier, context, nextResolve) {
  if (specifier === 'tap' && /^[^?]+\.test\.tsx?$/.test(context.parentURL ?? '')) {
    return nextResolve(`${TAP}?${context.parentURL}`, context)
  }

  if (specifier === 'async-hook-domain') {
    return nextResolve(ERROR_DOMAIN, context)
  }

  const mayBeTypeScript = /^\.\.?\/.*\.js$/.test(specifier) &&
    /\.tsx?$/.test(context.parentURL ?? '')

  if (mayBeTypeScript) {
    try {
      return await nextResolve(specifier.replace(/js$/, 'ts'), context)
    } catch {
      // The file is JavaScript.
    }
  }

  return nextResolve(specifier, context)
}

/**
 * Removes the types from a TypeScript file.
 *
 * @type {import('node:module').LoadHook}
 */
export async function load (url, context, nextLoad) {
  if (REPLACED.test(url)) {
    return { format: 'module', shortCircuit: true, source: '' }
  }

  if (!/^file:.*\.tsx?$/.test(url) || url.includes('/node_modules/')) {
    return nextLoad(url, context)
  }

  const code = readFileSync(fileURLToPath(url), 'utf8')
  const key = createHash('sha256').update(url).update(code).digest('hex')
  return { format: 'module', shortCircuit: true, source: await compile(url, code, key) }
}

async function compile (url, code, key) {
  const file = new URL(`${key}.js`, cache)

  try {
    return readFileSync(file, 'utf8')
  } catch {
    const { transform } = await import('esbuild')
    const compiled = await transform(code, {
      loader: url.endsWith('x') ? 'tsx' : 'ts',
      format: 'esm',
      target: 'es2023',
      sourcefile: url,
      sourcemap: 'inline',
      tsconfigRaw: { compilerOptions: { verbatimModuleSyntax: true } }
    })
    // A second process may read the file in the meantime, so it must appear complete.
    const draft = new URL(`${key}.${process.pid}`, cache)
    writeFileSync(draft, compiled.code)
    renameSync(draft, file)
    return compiled.code
  }
}
