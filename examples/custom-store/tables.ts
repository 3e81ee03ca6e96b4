import { sql } from 'kysely'
import type { Generated, Insertable, Selectable } from 'kysely'
import type { Session } from 'fastify-token-auth'

/** Tables of the store, for the type parameter of `Kysely`. */
export interface Tables {
  auth_session: SessionTable
  /** Revocations of users, and of whole realms if `user_id` is `null`. */
  auth_not_before: NotBeforeTable
  /** Feed of revocations. */
  auth_revocation: { id: Generated<number>, stored_at: number, entry: string }
}

export interface SessionTable {
  id: string
  realm: string
  user_id: string
  secret_hash: string
  generation: number
  confirmed_generation: number
  authenticated_at: number
  created_at: number
  rotated_at: number
  grace_from: number
  last_used_at: number
  expires_at: number
  ends_at: number
  revoked_at: number | null
  revoked_for: string | null
  replay_generation: number
  replay_length: number
  /** Members that no query reads, as JSON. */
  rotated_by: string
  device: string
}

interface NotBeforeTable {
  realm: string
  user_id: string | null
  before: number
  keep: string | null
  at: number
  reason: string
}

/** Columns that `check` looks for. */
export const columns: Readonly<Record<keyof Tables, readonly string[]>> = {
  auth_session: [
    'id',
    'realm',
    'user_id',
    'secret_hash',
    'generation',
    'confirmed_generation',
    'authenticated_at',
    'created_at',
    'rotated_at',
    'grace_from',
    'last_used_at',
    'expires_at',
    'ends_at',
    'revoked_at',
    'revoked_for',
    'replay_generation',
    'replay_length',
    'rotated_by',
    'device'
  ],
  auth_not_before: ['realm', 'user_id', 'before', 'keep', 'at', 'reason'],
  auth_revocation: ['id', 'stored_at', 'entry']
}

/** Statements that create the tables and indexes, unless they exist. */
export const schema = [
  sql`CREATE TABLE IF NOT EXISTS auth_session (
    id TEXT NOT NULL PRIMARY KEY,
    realm TEXT NOT NULL,
    user_id TEXT NOT NULL,
    secret_hash TEXT NOT NULL,
    generation INTEGER NOT NULL,
    confirmed_generation INTEGER NOT NULL,
    authenticated_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    rotated_at INTEGER NOT NULL,
    grace_from INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    ends_at INTEGER NOT NULL,
    revoked_at INTEGER,
    revoked_for TEXT,
    replay_generation INTEGER NOT NULL,
    replay_length INTEGER NOT NULL,
    rotated_by TEXT NOT NULL,
    device TEXT NOT NULL
  )`,
  sql`CREATE INDEX IF NOT EXISTS auth_session_by_user ON auth_session (realm, user_id, id)`,
  sql`CREATE INDEX IF NOT EXISTS auth_session_by_expiry ON auth_session (expires_at)`,
  sql`CREATE TABLE IF NOT EXISTS auth_not_before (
    realm TEXT NOT NULL,
    user_id TEXT,
    before INTEGER NOT NULL,
    keep TEXT,
    at INTEGER NOT NULL,
    reason TEXT NOT NULL
  )`,
  sql`CREATE INDEX IF NOT EXISTS auth_not_before_by_user
    ON auth_not_before (realm, user_id, before)`,
  sql`CREATE TABLE IF NOT EXISTS auth_revocation (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    stored_at INTEGER NOT NULL,
    entry TEXT NOT NULL
  )`,
  sql`CREATE INDEX IF NOT EXISTS auth_revocation_by_time ON auth_revocation (stored_at)`
]

export function toRow (session: Session): Insertable<SessionTable> {
  return {
    id: session.id,
    realm: session.realm,
    user_id: session.userId,
    secret_hash: session.secretHash,
    generation: session.generation,
    confirmed_generation: session.confirmedGeneration,
    authenticated_at: session.authenticatedAt,
    created_at: session.createdAt,
    rotated_at: session.rotatedAt,
    grace_from: session.graceFrom,
    last_used_at: session.lastUsedAt,
    expires_at: session.expiresAt,
    ends_at: session.endsAt,
    revoked_at: session.revokedAt,
    revoked_for: session.revokedFor,
    replay_generation: session.replayRun.generation,
    replay_length: session.replayRun.length,
    rotated_by: JSON.stringify(session.rotatedBy),
    device: JSON.stringify(session.device)
  }
}

export function toSession (row: Selectable<SessionTable>): Session {
  return {
    id: row.id,
    realm: row.realm,
    userId: row.user_id,
    secretHash: row.secret_hash,
    generation: row.generation,
    confirmedGeneration: row.confirmed_generation,
    authenticatedAt: row.authenticated_at,
    createdAt: row.created_at,
    rotatedAt: row.rotated_at,
    graceFrom: row.grace_from,
    lastUsedAt: row.last_used_at,
    expiresAt: row.expires_at,
    endsAt: row.ends_at,
    revokedAt: row.revoked_at,
    revokedFor: row.revoked_for as Session['revokedFor'],
    replayRun: { generation: row.replay_generation, length: row.replay_length },
    rotatedBy: JSON.parse(row.rotated_by),
    device: JSON.parse(row.device)
  }
}
