import { isLive } from '../../domain/session.js'
import type { Session } from '../../domain/session.js'
import type { Millis } from '../../lib/time.js'
import { DEFAULT_REALM } from '../command.js'
import type { CommandHandler } from '../command.js'
import { readStoreTime, withDatabase } from '../database/with-database.js'
import { CliError, usageError } from '../errors.js'
import { formatTable } from '../table.js'

const DEFAULT_LIMIT = 100
const MAX_LIMIT = 10_000
const MAX_TEXT_LENGTH = 40

/** Lists the active sessions of a user, or shows one session in any state. */
export const listSessions: CommandHandler = input => {
  const { user, session, realm = DEFAULT_REALM } = input.values

  if ((user === undefined) === (session === undefined)) {
    throw usageError('the command requires either --user ID or --session ID')
  }

  const limit = parseLimit(input.values.limit)

  return withDatabase(input, async ({ store }) => {
    const now = await readStoreTime(store)

    if (session !== undefined) {
      const found = await store.find(realm, session)

      if (found === null) {
        throw new CliError('SESSION_NOT_FOUND', 'the realm has no session with this ID')
      }

      return createResult(realm, now, [found])
    }

    // Reads one more than requested, to find out whether the list is complete.
    const found = await store.list(realm, user as string, { now, limit: limit + 1 })
    const result = createResult(realm, now, found.slice(0, limit), found.length > limit)
    const none = `user "${user as string}" has no active sessions in realm "${realm}"`
    return found.length === 0 ? { ...result, text: none } : result
  })
}

function createResult (
  realm: string,
  now: Millis,
  sessions: readonly Session[],
  hasMore = false
): Awaited<ReturnType<CommandHandler>> {
  const rows = sessions.map(session => [
    session.id,
    formatTime(session.createdAt),
    formatTime(session.lastUsedAt),
    formatTime(session.expiresAt),
    shorten(session.device.label ?? session.device.userAgent ?? '-'),
    session.device.address ?? '-',
    formatState(session, now)
  ])
  const heading = ['ID', 'CREATED', 'LAST USED', 'EXPIRES', 'DEVICE', 'ADDRESS', 'STATE']

  return {
    document: {
      realm,
      now: new Date(now).toISOString(),
      sessions: sessions.map(session => toJson(session, now)),
      hasMore
    },
    text: formatTable([heading, ...rows]),
    ...(hasMore && { note: 'The list is longer; raise --limit to see more.' })
  }
}

/** Returns a session without its secret hash. */
function toJson (session: Session, now: Millis): object {
  const { id, userId, generation, device, revokedAt, revokedFor } = session
  const toIso = (time: Millis): string => new Date(time).toISOString()

  return {
    id,
    userId,
    state: getState(session, now),
    createdAt: toIso(session.createdAt),
    authenticatedAt: toIso(session.authenticatedAt),
    lastUsedAt: toIso(session.lastUsedAt),
    expiresAt: toIso(session.expiresAt),
    endsAt: toIso(session.endsAt),
    revokedAt: revokedAt === null ? null : toIso(revokedAt),
    revokedFor,
    generation,
    device: { label: device.label, address: device.address, userAgent: device.userAgent }
  }
}

function getState (session: Session, now: Millis): 'active' | 'revoked' | 'expired' {
  if (session.revokedAt !== null) {
    return 'revoked'
  }

  return isLive(session, now) ? 'active' : 'expired'
}

function formatState (session: Session, now: Millis): string {
  return session.revokedAt === null
    ? getState(session, now)
    : `revoked ${formatTime(session.revokedAt)} (${session.revokedFor ?? 'unknown'})`
}

function formatTime (time: Millis): string {
  return new Date(time).toISOString().slice(0, 16).replace('T', ' ')
}

function shorten (text: string): string {
  return text.length > MAX_TEXT_LENGTH ? `${text.slice(0, MAX_TEXT_LENGTH - 1)}…` : text
}

function parseLimit (value: string | undefined): number {
  const limit = value === undefined ? DEFAULT_LIMIT : Number(value)

  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT) {
    throw usageError(`"--limit" must be an integer from 1 to ${MAX_LIMIT}`)
  }

  return limit
}
