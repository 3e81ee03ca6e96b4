import { TokenAuthError } from '../errors.js'
import { toSafeError } from '../lib/safe-error.js'
import { DAY, SECOND } from '../lib/time.js'
import type { Millis } from '../lib/time.js'
import type { RevokedSessions } from '../revocations/revoked.js'
import { assertRevocationPage } from '../stores/revocation-page.js'
import type {
  Cursor,
  FeedWindow,
  Revocation,
  RevocationPage,
  TokenStore
} from '../stores/token-store.js'
import { isRecord } from '../tokens/claims.js'
import { createAuthorization, describeFailure, requestIssuer } from './issuer-request.js'
import type { PendingNotes } from './pending-notes.js'

/** Maximum length of a request in bytes. */
const MAX_REQUEST_LENGTH = 65_536
/** Maximum length of a response in bytes. It has at most 256 revocations. */
const MAX_RESPONSE_LENGTH = 1_048_576
/** Maximum length of a cursor in bytes, so that notes fit beside it. */
const MAX_CURSOR_LENGTH = 32_768
/** Access tokens live for at most a day. */
const MAX_RETENTION: Millis = 2 * DAY
/** Timeout of the last request. An app that closes must not wait for its issuer. */
const LAST_TIMEOUT: Millis = SECOND

/** Settings and collaborators of a {@link SyncClient}. */
export interface SyncClientContext {
  readonly uri: URL
  readonly clientId: string
  readonly clientSecret: string
  readonly timeout: Millis
  /** Realm of the revocations that the client returns. */
  readonly realm: string
  readonly notes: PendingNotes
  /** Receives the time for which revocations must be kept. */
  readonly revoked: RevokedSessions
  /** Called with the error name and code, or the status, if a request fails. */
  readonly onFailure: (cause: string) => void
}

interface SyncPage extends RevocationPage {
  readonly retention: Millis
}

/** Reads revocations from the issuer, and sends the pending notes with the same request. */
export class SyncClient implements Pick<TokenStore, 'revocations'> {
  readonly #context: SyncClientContext
  readonly #authorization: string
  #cursor: Cursor | null = null

  constructor (context: SyncClientContext) {
    this.#context = context
    this.#authorization = createAuthorization(context)
  }

  /**
   * Reads the revocations after a cursor. The issuer decides how many it returns, and how old they
   * are if there is no cursor.
   *
   * @throws TokenAuthError `AUTH_STORE_UNAVAILABLE` if the issuer does not respond as expected.
   */
  async revocations (after: Cursor | FeedWindow): Promise<RevocationPage> {
    const { timeout, onFailure } = this.#context

    try {
      return await this.#exchange(after, timeout)
    } catch (error) {
      onFailure(describeFailure(error as Error))
      throw new TokenAuthError('AUTH_STORE_UNAVAILABLE', { cause: toSafeError(error, false) })
    }
  }

  /** Sends the pending notes once more. Ignores a failure, because the app closes. */
  async close (): Promise<void> {
    const { notes, timeout } = this.#context

    if (notes.size > 0 && this.#cursor !== null) {
      await this.#exchange(this.#cursor, Math.min(timeout, LAST_TIMEOUT)).catch(() => {})
    }
  }

  async #exchange (after: Cursor | FeedWindow, timeout: Millis): Promise<RevocationPage> {
    const { uri, notes, revoked } = this.#context
    const cursor = typeof after === 'string' ? after : null
    const head = JSON.stringify({ cursor, notes: [] })
    const batch = notes.getBatch(MAX_REQUEST_LENGTH - Buffer.byteLength(head))
    const response = await requestIssuer({
      uri,
      authorization: this.#authorization,
      contentType: 'application/json',
      body: JSON.stringify({ cursor, notes: batch }),
      signal: AbortSignal.timeout(timeout),
      maxLength: MAX_RESPONSE_LENGTH
    })
    const { retention, ...page } = this.#readResponse(response)
    assertRevocationPage(page, after)
    notes.acknowledge(batch)
    revoked.extendRetention(retention)
    this.#cursor = page.cursor
    return page
  }

  #readResponse (response: unknown): SyncPage {
    const { now, cursor, complete, retention, revocations } = isRecord(response) ? response : {}

    if (
      !Array.isArray(revocations) || typeof cursor !== 'string' ||
      Buffer.byteLength(cursor) > MAX_CURSOR_LENGTH || !Number.isSafeInteger(retention) ||
      (retention as number) < 0 || (retention as number) > MAX_RETENTION
    ) {
      throw new RangeError('malformed response')
    }

    const entries = revocations.map(entry => readRevocation(entry, this.#context.realm))
    return { now, cursor, complete, retention, entries } as SyncPage
  }
}

// `assertRevocationPage` checks the types of the result.
function readRevocation (entry: unknown, realm: string): Revocation {
  const { at, reason, sid, sub, before, keep } = isRecord(entry) ? entry : {}
  const shared = { realm, at, reason }

  if (sid !== undefined) {
    return { ...shared, sessionId: sid, userId: sub } as Revocation
  }

  return (sub === undefined
    ? { ...shared, before }
    : { ...shared, userId: sub, before, ...(typeof keep === 'string' && { keep }) }) as Revocation
}
