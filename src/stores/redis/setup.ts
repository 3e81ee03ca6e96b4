import { hasNoErrorListener } from '../../lib/error-listeners.js'
import { StoreSetupError } from '../token-store.js'
import { runScript, script } from './client.js'
import type { RedisClient } from './client.js'

const MIN_VERSION = [6, 2] as const

/** Fields that the script reads. A field is an empty string if the server does not report it. */
const FIELDS = [
  'redis_version',
  'role',
  'maxmemory',
  'maxmemory_policy',
  'aof_enabled'
] as const

type ServerInfo = Readonly<Record<typeof FIELDS[number], string>>

// A script, because clients of a cluster send it to the server of its key. Managed servers may
// forbid INFO, and CONFIG even more often.
const info = script(`
  local text = redis.pcall('INFO')
  if type(text) ~= 'string' then text = '' end
  local found = {}
  for i, field in ipairs(ARGV) do
    found[i] = string.match(text, '[\\r\\n]' .. field .. ':([^\\r\\n]*)') or ''
  end
  return found`)

/**
 * Checks the servers of some keys.
 *
 * @returns Warnings.
 * @throws StoreSetupError if a server is too old, or is a replica.
 */
export async function checkServers (
  client: RedisClient,
  keys: readonly string[]
): Promise<readonly string[]> {
  const warnings = new Set<string>(warnOfMissingListener(client))

  for (const key of keys) {
    const values = await runScript(client, info, { keys: [key], values: FIELDS }) as string[]
    const server = Object.fromEntries(
      FIELDS.map((field, i) => [field, String(values[i])])
    ) as ServerInfo
    assertServer(server)

    for (const warning of warnOfServer(server)) {
      warnings.add(warning)
    }
  }

  return [...warnings]
}

function assertServer ({ redis_version: version, role }: ServerInfo): void {
  const [major, minor] = version.split('.').map(Number) as [number, number]
  const [minMajor, minMinor] = MIN_VERSION

  if (version !== '' && (major < minMajor || (major === minMajor && minor < minMinor))) {
    throw new StoreSetupError([`the server is Redis ${version}`], 'use Redis 6.2 or later')
  }

  if (role === 'slave') {
    throw new StoreSetupError(
      ['the server is a replica, which rejects writes'],
      'connect to the primary server'
    )
  }
}

function warnOfServer (
  { maxmemory, maxmemory_policy: policy, aof_enabled: appendOnly }: ServerInfo
): string[] {
  const warnings: string[] = []

  // Without a limit, nothing is evicted.
  if (policy !== '' && policy !== 'noeviction' && maxmemory !== '0') {
    warnings.push(
      `"maxmemory-policy" is ${policy}: Redis evicts sessions and revocations when memory runs ` +
        'short, so users are signed out and revoked tokens are accepted; set it to noeviction'
    )
  }

  if (appendOnly === '0') {
    warnings.push(
      '"appendonly" is off: a restart of Redis loses the logins and logouts since its last ' +
        'snapshot; set it to yes'
    )
  }

  return warnings
}

function warnOfMissingListener (client: RedisClient): string[] {
  if (!hasNoErrorListener(client)) {
    return []
  }

  const consequence = 'evalSha' in client
    ? 'so a lost connection ends the process'
    : 'so lost connections are written to the console only'

  return [
    `the Redis client has no listener for "error", ${consequence}; add ` +
    'client.on("error", error => app.log.error(error))'
  ]
}
