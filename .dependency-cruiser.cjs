// Import rules between the rooms of src. Type imports count. `npm run lint` checks them.

/** Rooms that each room may import, besides itself. Patterns below src, without extension. */
const LOWER = ['stores/[^/]+', 'domain/.+', 'lib/.+', 'errors', 'events']
const MIDDLE = [...LOWER, 'tokens/.+', 'dpop/.+', 'throttle/.+', 'revocations/.+', 'sessions/.+']
const allowed = {
  lib: [],
  protocol: [],
  domain: ['lib/time'],
  errors: ['protocol'],
  events: ['domain/.+', 'lib/.+'],
  tokens: ['domain/.+', 'lib/.+'],
  'stores/[^/]+': ['stores/memory/attempts', 'domain/.+', 'lib/.+', 'errors', 'events'],
  'stores/memory': ['stores/(token|attempt)-store', 'domain/.+', 'lib/.+'],
  'stores/sqlite': ['stores/(token|attempt)-store', 'stores/sql/.+', 'domain/.+', 'lib/.+'],
  'stores/postgres': ['stores/(token|attempt)-store', 'stores/sql/.+', 'domain/.+', 'lib/.+'],
  'stores/mysql': ['stores/(token|attempt)-store', 'stores/sql/.+', 'domain/.+', 'lib/.+'],
  'stores/redis': ['stores/(token|attempt)-store', 'domain/.+', 'lib/.+'],
  'stores/sql': ['stores/(token|attempt)-store', 'domain/.+', 'lib/.+'],
  'stores/conformance': ['stores/(token|attempt)-store', 'domain/.+', 'lib/.+'],
  dpop: ['tokens/.+', ...LOWER],
  throttle: ['tokens/.+', ...LOWER],
  revocations: LOWER,
  live: ['tokens/.+', 'revocations/.+', ...LOWER],
  sessions: ['tokens/.+', 'dpop/.+', 'throttle/.+', 'revocations/.+', ...LOWER],
  login: MIDDLE,
  health: ['login/.+', ...MIDDLE],
  options: ['login/.+', 'protocol', ...MIDDLE],
  http: ['live/.+', 'login/.+', 'options/.+', 'protocol', ...MIDDLE],
  'http/routes': ['http/[^/]+', 'login/.+', 'options/.+', 'protocol', ...MIDDLE],
  oauth: ['http/.+', 'options/.+', 'login/.+', 'protocol', ...MIDDLE],
  account: ['http/.+', 'options/.+', 'login/.+', 'protocol', ...MIDDLE],
  verifier: [
    'http/[^/]+',
    'options/.+',
    'stores/memory/.+',
    'decorators',
    'revocations/.+',
    'live/.+',
    'dpop/.+',
    'tokens/.+',
    'protocol',
    ...LOWER
  ],
  services: ['live/.+', 'options/.+', 'login/.+', 'health/.+', 'protocol', 'stores/memory/.+', ...MIDDLE],
  client: ['protocol'],
  'client/node': ['client/[^/]+', 'protocol'],
  'client/react': ['client/[^/]+', 'protocol'],
  'client/live': ['client/[^/]+', 'protocol'],
  testing: [
    'client/.+',
    'protocol',
    'decorators',
    'errors',
    'http/[^/]+',
    'lib/(production|time)',
    'options/(protection|validate)',
    'sessions/user-id',
    'tokens/auth'
  ],
  cli: ['stores/.+', 'tokens/.+', 'domain/.+', 'lib/.+', 'events', 'protocol']
}

const rooms = Object.keys(allowed)

/** Files of one room. A nested room such as http/routes is not part of http. */
function roomPattern (room) {
  if (['protocol', 'errors', 'events', 'services'].includes(room)) {
    return { path: `^src/${room}\\.ts$` }
  }

  if (room === 'stores/[^/]+') {
    return { path: '^src/stores/[^/]+\\.ts$' }
  }

  return room === 'http' || room === 'client'
    ? { path: `^src/${room}/[^/]+\\.ts$` }
    : { path: `^src/${room}/` }
}

const roomRules = rooms.map(room => ({
  name: `imports-of-${room.replace(/[^a-z/]+/g, 'root').replace('/', '-')}`,
  severity: 'error',
  from: roomPattern(room),
  to: {
    path: '^src/',
    pathNot: [
      roomPattern(room).path,
      ...allowed[room].map(pattern => `^src/${pattern}\\.ts$`)
    ]
  }
}))

module.exports = {
  forbidden: [
    { name: 'no-circles', severity: 'error', from: {}, to: { circular: true } },
    ...roomRules,
    {
      name: 'fastify-stays-at-the-top',
      comment: 'Rooms below http work without Fastify.',
      severity: 'error',
      from: {
        path: '^src/',
        pathNot: [
          '^src/(plugin|token-auth|decorators|tokens/fastify-jwt|testing/fake-auth)\\.ts$',
          '^src/(http|oauth|account|verifier)/'
        ]
      },
      to: { path: '(^|/)node_modules/(@types/)?fastify(-plugin)?/|(^|/)node_modules/@fastify/' }
    },
    {
      name: 'jwt-library-in-one-file',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/tokens/fastify-jwt\\.ts$' },
      to: { path: '(^|/)node_modules/(@fastify/jwt|fast-jwt)/' }
    },
    {
      name: 'jose-in-one-file',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/verifier/remote-keys\\.ts$' },
      to: { path: '(^|/)node_modules/jose/' }
    },
    {
      name: 'react-in-one-room',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/client/react/' },
      to: { path: '(^|/)node_modules/(@types/)?react(-dom)?/' }
    },
    {
      name: 'optional-rooms-load-late',
      comment: 'The start of an app without these features loads none of their files.',
      severity: 'error',
      from: {
        path: '^src/',
        pathNot: '^src/(oauth|dpop|account|verifier)/|^src/http/dpop\\.ts$'
      },
      to: {
        path: '^src/(oauth|dpop|account)/|^src/http/dpop\\.ts$',
        dependencyTypesNot: ['dynamic-import', 'type-only']
      }
    },
    {
      name: 'verifier-loads-separately',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/verifier/' },
      to: { path: '^src/verifier/' }
    },
    {
      name: 'nothing-imports-the-command',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/cli/' },
      to: { path: '^src/cli/' }
    },
    {
      name: 'commands-load-their-databases-late',
      comment: 'A command loads the one store that its database needs.',
      severity: 'error',
      from: { path: '^src/cli/' },
      to: {
        path: '^src/stores/(postgres|mysql|redis|sqlite)/',
        dependencyTypesNot: ['dynamic-import', 'type-only']
      }
    },
    {
      name: 'test-sessions-only-for-tests',
      comment: 'Production never loads the file that opens sessions without a password.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/testing/' },
      to: {
        path: '^src/(testing/|http/test-sessions\\.ts)',
        dependencyTypesNot: ['dynamic-import', 'type-only']
      }
    },
    {
      name: 'test-sessions-in-the-plugin',
      comment: 'No route and no command opens such a session.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/(testing/|(plugin|http/registration)\\.ts$)' },
      to: { path: '^src/(testing/|http/test-sessions\\.ts)' }
    },
    {
      name: 'native-and-optional-libraries-load-late',
      severity: 'error',
      from: { path: '^src/' },
      to: {
        path: '(^|/)node_modules/(@node-rs|otpauth)/',
        dependencyTypesNot: ['dynamic-import', 'type-only', 'type-import']
      }
    },
    {
      name: 'no-development-dependencies',
      severity: 'error',
      from: { path: '^src/' },
      to: {
        dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'],
        pathNot: '(^|/)node_modules/(@types|fastify|otpauth|react)/'
      }
    }
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types']
    }
  }
}
