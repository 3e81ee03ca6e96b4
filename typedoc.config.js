import { readFileSync } from 'node:fs'

const manifest = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8'))

// The bundle has the exports of `fastify-token-auth/client`.
const subpaths = Object.entries(manifest.exports).filter(([subpath, target]) =>
  typeof target === 'object' && subpath !== './client/bundle'
)

/** @type {import('typedoc').TypeDocOptions & import('typedoc-plugin-markdown').PluginOptions} */
export default {
  entryPoints: subpaths.map(([, { types, default: target }]) =>
    (types ?? target.types).replace('./dist/', 'src/').replace('.d.ts', '.ts')
  ),
  tsconfig: 'src/tsconfig.json',
  plugin: ['typedoc-plugin-markdown'],
  outputs: [
    { name: 'html', path: 'docs/html' },
    { name: 'markdown', path: 'docs/markdown' }
  ],
  readme: 'none',
  excludePrivate: true,
  // Members of an object are left to its own comment.
  requiredToBeDocumented: [
    'Enum',
    'EnumMember',
    'Variable',
    'Function',
    'Class',
    'Interface',
    'Method',
    'Accessor',
    'TypeAlias'
  ],
  validation: { invalidLink: true, notDocumented: true, notExported: true },
  // Types that only derive other types, whose comments say the result.
  intentionallyNotExported: [
    'src/http/guards.ts:Accepted',
    'src/protocol.ts:accountPaths',
    'src/protocol.ts:defaultPaths'
  ],
  intentionallyNotDocumented: [
    'fastify-token-auth.ParsedIds.claims',
    'fastify-token-auth.ParsedIds.present'
  ],
  treatWarningsAsErrors: true
}
