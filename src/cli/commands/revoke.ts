import type { RevocationTarget } from '../../stores/token-store.js'
import { DEFAULT_REALM } from '../command.js'
import type { CommandHandler, CommandInput, OptionValues } from '../command.js'
import { confirm } from '../confirm.js'
import { readStoreTime, withDatabase } from '../database/with-database.js'
import type { Database } from '../database/with-database.js'
import { CliError, usageError } from '../errors.js'

const REASON = 'revoked'

type Result = ReturnType<CommandHandler>

/** Revokes one session, all sessions of a user, or all sessions of a realm. */
export const revoke: CommandHandler = async input => {
  const target = getTarget(input.values)

  return withDatabase(input, database =>
    'sessionId' in target
      ? revokeSession(database, target)
      : revokeMany(input, database, target))
}

function getTarget (values: OptionValues): RevocationTarget {
  const { session, user, all = false, realm = DEFAULT_REALM } = values
  const given = [session !== undefined, user !== undefined, all].filter(Boolean)

  if (given.length !== 1 || session === '' || user === '' || realm === '') {
    throw usageError('the command requires one of --session ID, --user ID and --all')
  }

  if (session !== undefined) {
    return { realm, sessionId: session }
  }

  return user === undefined ? { realm } : { realm, userId: user }
}

async function revokeSession (
  { store }: Database,
  target: { readonly realm: string, readonly sessionId: string }
): Result {
  const session = await store.find(target.realm, target.sessionId)

  if (session === null) {
    throw new CliError('SESSION_NOT_FOUND', 'the realm has no session with this ID')
  }

  const at = await readStoreTime(store)
  const count = await store.revoke(target, { at, reason: REASON })

  return {
    document: { ...target, userId: session.userId, at: new Date(at).toISOString(), count },
    text: count === 1
      ? `revoked the session of user ${session.userId}`
      : 'the session was revoked before'
  }
}

async function revokeMany (
  input: CommandInput,
  { store, label }: Database,
  target: Exclude<RevocationTarget, { readonly sessionId: string }>
): Result {
  const isUser = 'userId' in target
  const whose = isUser
    ? `of user "${target.userId}" in realm "${target.realm}"`
    : `of all users in realm "${target.realm}"`
  await confirm(input, `Revoke all sessions ${whose} on ${label}?`)
  const at = await readStoreTime(store)
  const count = await store.revoke(target, { at, reason: REASON })

  return {
    // A revocation of a realm marks no rows, so there is nothing to count.
    document: { ...target, at: new Date(at).toISOString(), ...(isUser && { count }) },
    text: isUser
      ? `revoked ${count} ${count === 1 ? 'session' : 'sessions'} ${whose}`
      : `revoked all sessions ${whose} that were opened until ${new Date(at).toISOString()}`
  }
}
