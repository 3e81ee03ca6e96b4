import { DAY, SECOND } from '../lib/time.js'
import { assert, duration, rejectUnknownKeys } from '../options/validate.js'
import { toUserId } from '../sessions/user-id.js'
import { OneTimeTokenIssuer } from './one-time-token-issuer.js'
import type { OneTimeContext } from './one-time-token-issuer.js'
import type { NewOneTimeToken, OneTimeExpectation, OneTimeTokens } from './one-time-tokens.js'

const MAX_DATA_SIZE = 2048
const PURPOSE_FORM = /^[A-Za-z][\w-]{0,63}$/

const newTokenShape = {
  purpose: true,
  subject: true,
  lifetime: true,
  state: true,
  data: true
} satisfies Record<keyof NewOneTimeToken, true>

const expectationShape = {
  purpose: true,
  state: true
} satisfies Record<keyof OneTimeExpectation, true>

const readLifetime = duration({ min: SECOND, max: 365 * DAY })

/** Collaborators of `app.tokenAuth.oneTimeTokens`. */
export interface OwnTokensContext extends OneTimeContext {
  /** Reads the time of the database after a standstill. */
  readonly feed: { readonly catchUp: () => Promise<void> }
}

/**
 * Creates `app.tokenAuth.oneTimeTokens`.
 *
 * @param isShared - Whether all instances count in the same store.
 */
export function createOwnTokens (context: OwnTokensContext, isShared: boolean): OneTimeTokens {
  const issuer = new OneTimeTokenIssuer(context)

  return {
    async create (settings) {
      assertShared(isShared, 'oneTimeTokens')
      rejectUnknownKeys(settings, newTokenShape, 'oneTimeTokens.create')
      const { purpose, state, data } = settings
      assertPurpose(purpose, 'create')
      assertData(data)
      await context.feed.catchUp()

      return issuer.create({
        purpose,
        subject: toUserId(settings.subject, 'oneTimeTokens.create', 'subject'),
        lifetime: readLifetime(settings.lifetime, 'oneTimeTokens.create.lifetime', true),
        state,
        data
      })
    },
    async verify (token, expected) {
      assertExpectation(expected, 'verify')
      await context.feed.catchUp()
      const { subject, data, expiresAt } = await issuer.verify(token, expected)
      return { subject, data, expiresAt }
    },
    async redeem (token, expected) {
      assertShared(isShared, 'oneTimeTokens')
      assertExpectation(expected, 'redeem')
      await context.feed.catchUp()
      const { id, ...redeemed } = await issuer.redeem(token, expected)
      return redeemed
    }
  }
}

/**
 * Asserts that all instances count links and codes in the same store.
 *
 * @throws TypeError with the fix.
 */
export function assertShared (isShared: boolean, feature: string): void {
  assert(
    isShared,
    `${feature} requires "throttle.attempts" to be a store that all instances share, such as ` +
      'new PostgresAttempts(pool) from fastify-token-auth/postgres; for an app with one ' +
      'instance, set "revocations: false" instead'
  )
}

function assertExpectation (expected: OneTimeExpectation, method: string): void {
  rejectUnknownKeys(expected, expectationShape, `oneTimeTokens.${method}`)
  assertPurpose(expected.purpose, method)
}

function assertPurpose (purpose: unknown, method: string): void {
  assert(
    typeof purpose === 'string' && PURPOSE_FORM.test(purpose),
    `"purpose" of oneTimeTokens.${method} must be a letter, followed by at most 63 letters, ` +
      'digits, "-" and "_", such as "invitation"'
  )
}

function assertData (data: unknown): void {
  const isObject = typeof data === 'object' && data !== null && !Array.isArray(data)
  assert(
    data === undefined ||
      (isObject && Buffer.byteLength(JSON.stringify(data)) <= MAX_DATA_SIZE),
    `"data" of oneTimeTokens.create must be an object with at most ${MAX_DATA_SIZE} bytes of JSON`
  )
}
