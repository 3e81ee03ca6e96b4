import { createHash } from 'node:crypto'
import t from 'tap'
import type { JwtCodec } from '../../src/tokens/jwt-codec.js'
import type { Claims } from '../../src/tokens/claims.js'
import { deriveKey } from '../../src/tokens/key-derivation.js'
import {
  createSessionSecret,
  issueRefreshToken,
  issueSuccessor,
  readRefreshToken,
  REFRESH_TYP
} from '../../src/tokens/refresh-token.js'
import type { RefreshToken } from '../../src/tokens/refresh-token.js'
import { SECRET } from '../helpers/app.js'
import { DAY, MINUTE } from '../helpers/clock.js'
import { createSecretCodec } from '../helpers/signers.js'

const NOW = Date.UTC(2026, 0, 1)
const first = { generation: 0, issuedAt: NOW, expiresAt: NOW + 7 * DAY }
const second = { generation: 1, issuedAt: NOW + MINUTE, expiresAt: NOW + MINUTE + 7 * DAY }

/** Each one is another instance of the service, with the same secret. */
function createKind (secret = SECRET): Promise<JwtCodec> {
  return createSecretCodec(REFRESH_TYP, deriveKey(secret, 'auth', 'refresh'))
}

function read (kind: JwtCodec, token: string): RefreshToken {
  const found = readRefreshToken(kind, token)

  if (found === null) {
    throw new Error('a token of ours was not read')
  }

  return found
}

function claimsOf (token: string): Claims {
  return JSON.parse(Buffer.from(token.split('.')[1] as string, 'base64url').toString())
}

t.test('the first refresh token contains the session and its secret', async t => {
  const kind = await createKind()
  const { secret, secretHash } = createSessionSecret()
  const token = issueRefreshToken(kind, { id: 's1', userId: 'u-ann', secret }, first)
  const { claims, ...found } = read(kind, token)
  t.strictSame(found, {
    userId: 'u-ann',
    sessionId: 's1',
    generation: 0,
    secretHash,
    persistent: false,
    amr: [],
    clientId: null,
    thumbprint: null,
    expiresAt: NOW + 7 * DAY
  })
  t.strictSame(claims, {
    sub: 'u-ann',
    sid: 's1',
    secret,
    type: 'refresh',
    gen: 0,
    iat: NOW / 1000,
    exp: (NOW + 7 * DAY) / 1000
  })
})

t.test('a successor is the same string on every instance and at any time', async t => {
  const kind = await createKind()
  const token = issueRefreshToken(
    kind,
    { id: 's1', userId: 'u-ann', secret: createSessionSecret().secret },
    first
  )
  const successor = issueSuccessor(kind, read(kind, token), second)
  t.equal(issueSuccessor(kind, read(kind, token), second), successor)

  const other = await createKind()
  const { now } = Date
  t.teardown(() => {
    Date.now = now
  })
  Date.now = () => NOW + 3 * DAY
  t.equal(issueSuccessor(other, read(other, token), second), successor)
})

t.test('a generation has the same token, whichever token it is issued from', async t => {
  const kind = await createKind()
  const zeroth = issueRefreshToken(
    kind,
    { id: 's1', userId: 'u-ann', secret: createSessionSecret().secret },
    first
  )
  const successor = issueSuccessor(kind, read(kind, zeroth), second)
  t.equal(issueSuccessor(kind, read(kind, successor), second), successor)
  t.equal(issueSuccessor(kind, read(kind, successor), first), zeroth)
})

t.test('a successor copies every claim except gen, iat and exp', async t => {
  const kind = await createKind()
  const extra = {
    cnf: { jkt: 'thumbprint' },
    client_id: 'phone',
    'https://a.example/x': [1, null, 'ä']
  }
  const claims = {
    sub: 'u-ann',
    sid: 's1',
    gen: 6,
    secret: createSessionSecret().secret,
    type: 'refresh',
    iat: 5,
    exp: 6,
    ...extra
  }
  const edition = { generation: 7, issuedAt: NOW + 999, expiresAt: NOW + DAY + 1 }
  const successor = issueSuccessor(kind, read(kind, kind.sign(claims)), edition)
  t.strictSame(claimsOf(successor), { ...claims, gen: 7, iat: NOW / 1000, exp: (NOW + DAY) / 1000 })
  t.equal(read(kind, successor).secretHash, read(kind, kind.sign(claims)).secretHash)
})

t.test('another generation, time, session or key results in another token', async t => {
  const kind = await createKind()
  const { secret } = createSessionSecret()
  const present = (id: string, userId: string): RefreshToken =>
    read(kind, issueRefreshToken(kind, { id, userId, secret }, first))
  const presented = present('s1', 'u-ann')
  const tokens = [
    issueSuccessor(kind, presented, second),
    issueSuccessor(kind, presented, { ...second, generation: 2 }),
    issueSuccessor(kind, presented, { ...second, issuedAt: second.issuedAt + 1000 }),
    issueSuccessor(kind, presented, { ...second, expiresAt: second.expiresAt + 1000 }),
    issueSuccessor(kind, present('s2', 'u-ann'), second),
    issueSuccessor(kind, present('s1', 'u-bob'), second),
    issueSuccessor(await createKind(`${SECRET}x`), presented, second)
  ]
  t.equal(new Set(tokens).size, tokens.length)
})

t.test('an expired refresh token is read, so that its reuse is detected', async t => {
  const kind = await createKind()
  const { secret } = createSessionSecret()
  const token = issueRefreshToken(kind, { id: 's1', userId: 'u-ann', secret }, {
    generation: 0,
    issuedAt: 0,
    expiresAt: 1000
  })
  t.match(read(kind, token), { sessionId: 's1', generation: 0 })
})

t.test('10,000 secrets are distinct base64url strings of 256 bits', async t => {
  const made = Array.from({ length: 10_000 }, createSessionSecret)
  t.equal(new Set(made.map(({ secret }) => secret)).size, made.length)
  t.equal(new Set(made.map(({ secretHash }) => secretHash)).size, made.length)
  t.ok(
    made.every(({ secret }) =>
      /^[\w-]{43}$/.test(secret) && Buffer.from(secret, 'base64url').length === 32
    )
  )

  const counts = new Array<number>(256).fill(0)

  for (const { secret } of made) {
    for (const byte of Buffer.from(secret, 'base64url')) {
      counts[byte] = (counts[byte] ?? 0) + 1
    }
  }

  t.ok(Math.min(...counts) > 1000 && Math.max(...counts) < 1500, 'every byte about 1250 times')
})

t.test('the stored hash of a secret is its SHA-256', async t => {
  const { secret, secretHash } = createSessionSecret()
  t.equal(secretHash, createHash('sha256').update(secret).digest('base64url'))
  const kind = await createKind()
  t.equal(
    read(kind, issueRefreshToken(kind, { id: 's1', userId: 'u-ann', secret }, first)).secretHash,
    secretHash
  )
})
