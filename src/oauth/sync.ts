import type { FastifyInstance } from 'fastify'
import { TokenAuthError } from '../errors.js'
import type { Events } from '../events.js'
import { getCaller } from '../http/authorization.js'
import type { DescribeRoute } from '../http/openapi.js'
import { sendJson } from '../http/reply.js'
import type { Millis } from '../lib/time.js'
import type { RevokedSessions } from '../revocations/revoked.js'
import type { UsageTracker } from '../revocations/usage-tracker.js'
import type { Revocation, TokenStore } from '../stores/token-store.js'
import type { SeenClaim } from '../tokens/seen-claim.js'
import { authenticateClient } from './client-authentication.js'
import type { Clients } from './clients.js'
import { oauthRouteDocs } from './route-docs.js'

const MAX_BODY_LENGTH = 65_536
/** Maximum number of revocations in a response, about 150 bytes each. */
const PAGE_SIZE = 256

/** Collaborators of the route `sync`. */
export interface SyncRoute {
  readonly clients: Clients
  readonly store: Pick<TokenStore, 'revocations'>
  readonly realm: string
  readonly seen: SeenClaim
  /** `null` if access tokens do not confirm a generation. */
  readonly usage: Pick<UsageTracker, 'confirmAll'> | null
  readonly revoked: Pick<RevokedSessions, 'retention'>
  readonly events: Events
  readonly clock: () => Millis
  readonly describe: DescribeRoute
}

/** Report that a service has accepted an access token. The members are claims of the token. */
interface Note {
  readonly sid: string
  readonly gen: number
  readonly seen: string
}

interface SyncBody {
  /** `null` to get all revocations that may concern a valid access token. */
  readonly cursor: string | null
  readonly notes: readonly Note[]
  readonly client_id?: string
  readonly client_secret?: string
}

const string = { type: 'string' }
const bodySchema = {
  type: 'object',
  required: ['cursor', 'notes'],
  properties: {
    cursor: { type: 'string', nullable: true, maxLength: 32_768 },
    notes: {
      type: 'array',
      items: {
        type: 'object',
        required: ['sid', 'gen', 'seen'],
        properties: {
          sid: { type: 'string', maxLength: 255 },
          gen: { type: 'integer', minimum: 0 },
          seen: { type: 'string', maxLength: 64 }
        }
      }
    },
    client_id: string,
    client_secret: string
  }
}

/**
 * Adds `POST sync`: services that verify tokens report which ones they have accepted, and get the
 * revocations that are new since their cursor.
 *
 * Reads the store itself, so that a cursor of one instance also works at another one. A note
 * confirms a generation if its claim `seen` is valid, and never revokes anything. The notes are
 * written before the response is sent.
 */
export function addSyncRoute (scope: FastifyInstance, url: string, context: SyncRoute): void {
  const { clients, store, realm, seen, usage, revoked, events, clock, describe } = context

  scope.post<{ Body: SyncBody }>(url, {
    ...describe(oauthRouteDocs.sync, { body: bodySchema }),
    bodyLimit: MAX_BODY_LENGTH,
    // Runs after the hook of the app's scope, which adds the challenge for access tokens.
    onError (_request, reply, error, done) {
      if (error instanceof TokenAuthError && error.code === 'AUTH_CLIENT_REJECTED') {
        void reply.header('www-authenticate', `Basic realm="${realm}"`)
      }

      done()
    }
  }, async (request, reply) => {
    const { client_id: clientId, client_secret: clientSecret, cursor, notes } = request.body
    const client = authenticateClient(
      request,
      { client_id: clientId, client_secret: clientSecret },
      clients
    )

    if (!client.sync) {
      throw new TokenAuthError('AUTH_CLIENT_REJECTED', {
        hint: 'this client of oauth.clients needs sync: true'
      })
    }

    const at = clock()
    const { retention } = revoked
    const authentic = notes.filter(note => seen.verify(note.sid, note.gen, note.seen))
    const ignored = notes.length - authentic.length

    if (ignored > 0) {
      events.emit('sync-ignored', {
        at,
        clientId: client.id,
        count: ignored,
        ...getCaller(request)
      })
    }

    const [page] = await Promise.all([
      store.revocations(cursor ?? { within: retention }, PAGE_SIZE),
      usage?.confirmAll(
        authentic.map(({ sid, gen }) => ({ sessionId: sid, generation: gen })),
        at
      )
    ])

    return sendJson(reply, {
      now: page.now,
      cursor: page.cursor,
      complete: page.complete,
      retention,
      revocations: page.entries.filter(entry => entry.realm === realm).map(toWire),
      ignored
    })
  })
}

/** Names the parts of a revocation like the claims of the tokens that it revokes. */
function toWire (revocation: Revocation): object {
  const { at, reason } = revocation

  if ('sessionId' in revocation) {
    return { at, reason, sid: revocation.sessionId, sub: revocation.userId }
  }

  const { before } = revocation

  return 'userId' in revocation
    ? { at, reason, sub: revocation.userId, before, keep: revocation.keep }
    : { at, reason, before }
}
