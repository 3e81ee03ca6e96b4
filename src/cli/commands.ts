import type { Command, OptionSpec } from './command.js'

const commonOptions = {
  json: { type: 'boolean', description: 'Print one JSON document on stdout' },
  help: { type: 'boolean', description: 'Print this help' }
} as const satisfies Record<string, OptionSpec>

const databaseOptions = {
  database: { type: 'string', value: 'URL', description: 'Database (default: DATABASE_URL)' },
  'table-prefix': {
    type: 'string',
    value: 'PREFIX',
    description: 'Prefix of the tables, or of the keys in Redis'
  }
} as const satisfies Record<string, OptionSpec>

const realm: OptionSpec = {
  type: 'string',
  value: 'NAME',
  description: 'Option "name" of the plugin (default: auth)'
}
const yes: OptionSpec = { type: 'boolean', description: 'Do not ask for a confirmation' }

/** Commands by name, in the order of the help. */
export const commands: Readonly<Record<string, Command>> = {
  migrate: {
    summary: 'Create the missing tables, indexes and functions',
    usage: '',
    details: [
      'Lists what is missing, and asks before it creates it. Without a terminal, or\n' +
      'with --json, it needs --yes. If nothing is missing, it only reads.',
      'Redis needs no migration.'
    ],
    operand: null,
    options: {
      sql: { type: 'boolean', description: 'Print the SQL of all migrations, and do nothing' },
      yes,
      ...databaseOptions,
      ...commonOptions
    },
    load: async () => (await import('./commands/migrate.js')).migrate
  },
  check: {
    summary: 'Report what is missing in the database',
    usage: '',
    details: [
      'Checks versions, tables, permissions and settings. Changes nothing. Exits with\n' +
      '1 if the store cannot work, or if there is a warning.'
    ],
    operand: null,
    options: { ...databaseOptions, ...commonOptions },
    load: async () => (await import('./commands/check.js')).check
  },
  baseline: {
    summary: 'Record that another tool has created the tables',
    usage: '',
    details: [
      'Compares the tables with those that "migrate" creates, and records the version.\n' +
      'Creates nothing else. Asks first. Without a terminal, or with --json, it needs\n' +
      '--yes.'
    ],
    operand: null,
    options: { yes, ...databaseOptions, ...commonOptions },
    load: async () => (await import('./commands/migrate.js')).baseline
  },
  sessions: {
    summary: 'List the sessions of a user, or show one session',
    usage: '--user ID | --session ID',
    details: [
      'Lists the active sessions of a user, the newest one first. With --session,\n' +
      'shows one session in any state, and the reason why it was revoked.',
      'Times are UTC. The clock of the database decides what has expired.'
    ],
    operand: null,
    options: {
      user: { type: 'string', value: 'ID', description: 'User whose sessions are listed' },
      session: { type: 'string', value: 'ID', description: 'Session to show' },
      limit: { type: 'string', value: 'N', description: 'Maximum number (default: 100)' },
      realm,
      ...databaseOptions,
      ...commonOptions
    },
    load: async () => (await import('./commands/sessions.js')).listSessions
  },
  revoke: {
    summary: 'Revoke one session, all sessions of a user, or all sessions',
    usage: '--session ID | --user ID | --all',
    details: [
      'Refresh tokens are rejected immediately. Running instances reject the access\n' +
      'tokens after their next poll of the database, within 1 s by default.',
      '--user and --all ask first. Without a terminal, or with --json, they need --yes.'
    ],
    operand: null,
    options: {
      session: { type: 'string', value: 'ID', description: 'Session to revoke' },
      user: { type: 'string', value: 'ID', description: 'User whose sessions are revoked' },
      all: { type: 'boolean', description: 'Revoke all sessions of the realm' },
      realm,
      yes,
      ...databaseOptions,
      ...commonOptions
    },
    load: async () => (await import('./commands/revoke.js')).revoke
  },
  sweep: {
    summary: 'Delete expired sessions, revocations and login attempts',
    usage: '',
    details: [
      'Deletes what the app would delete at its next sweep: records that expired more\n' +
      'than 25 hours ago by the clock of the database. Covers all realms.',
      'Asks for no confirmation. If the clocks of the database and of this machine\n' +
      'differ by more than 5 minutes, it deletes nothing, except with --yes.'
    ],
    operand: null,
    options: {
      yes: { type: 'boolean', description: 'Trust the clock of the database' },
      ...databaseOptions,
      ...commonOptions
    },
    load: async () => (await import('./commands/sweep.js')).sweep
  },
  secret: {
    summary: 'Print a new value for the option "secret"',
    usage: '',
    details: [
      'Prints 48 random bytes as base64url. Needs no database.'
    ],
    operand: null,
    options: commonOptions,
    load: async () => (await import('./commands/secret.js')).printSecret
  },
  key: {
    summary: 'Print a new key pair for the option "keys"',
    usage: '',
    details: [
      'Prints the private key on stdout, in a form that the option "keys" accepts. It\n' +
      'contains the public key. The key ID and the public key are on stderr.',
      'Needs no database.'
    ],
    operand: null,
    options: {
      alg: { type: 'string', value: 'ALG', description: 'EdDSA or ES256 (default: EdDSA)' },
      format: { type: 'string', value: 'FORMAT', description: 'pem or jwk (default: pem)' },
      ...commonOptions
    },
    load: async () => (await import('./commands/key.js')).printKey
  },
  doctor: {
    summary: 'Examine a running deployment from outside',
    usage: 'URL',
    details: [
      'URL is the prefix of the auth routes, such as https://api.example.com/auth.\n' +
      'Changes nothing, except with --login: it opens a session and revokes it.'
    ],
    operand: 'URL',
    options: {
      origin: {
        type: 'string',
        multiple: true,
        value: 'ORIGIN',
        description: 'Origin of a page that calls the API (repeatable)'
      },
      login: {
        type: 'boolean',
        description: 'Log in with FTA_USERNAME and FTA_PASSWORD'
      },
      jwks: { type: 'string', value: 'URL', description: 'URL of the JWKS, if it is elsewhere' },
      name: {
        type: 'string',
        value: 'NAME',
        description: 'Option "name" of the plugin (default: auth)'
      },
      route: {
        type: 'string',
        multiple: true,
        value: 'NAME=PATH',
        description: 'Path of a moved route (repeatable)'
      },
      ...commonOptions
    },
    load: async () => (await import('./commands/doctor.js')).examineDeployment
  }
}
