import t from 'tap'
import { DeviceTokens } from '../../src/throttle/device-tokens.js'
import type { DeviceAccount } from '../../src/throttle/device-tokens.js'
import type { SigningKey } from '../../src/tokens/key-derivation.js'

const key: SigningKey = { id: 'k1', key: Buffer.alloc(32, 1) }
const ann: DeviceAccount = { userId: 'u-ann', passwordHash: 'hash of Ann' }
const bob: DeviceAccount = { userId: 'u-bob', passwordHash: 'hash of Ann' }
const other: SigningKey = { id: 'k2', key: Buffer.alloc(32, 2) }

t.test('a device token is read for its user only', async t => {
  const devices = new DeviceTokens([key])
  const token = devices.issue(ann, null)
  t.match(token, /^[\w-]{22}\.[\w-]{43}$/)
  t.equal(devices.read(token, ann)?.id, token.split('.')[0])
  t.equal(devices.read(token, bob), null)
})

t.test('a device token ends when the stored password hash changes', async t => {
  const devices = new DeviceTokens([key])
  const changed = { ...ann, passwordHash: 'new hash of Ann' }
  const token = devices.issue(ann, null)
  t.equal(devices.read(token, changed), null)
  t.equal(devices.read(token, ann)?.id, token.split('.')[0])

  const renewed = devices.issue(changed, devices.read(token, ann))
  t.equal(renewed.split('.')[0], token.split('.')[0], 'the device keeps its ID')
  t.equal(devices.read(renewed, changed)?.id, token.split('.')[0])
  t.equal(devices.read(renewed, ann), null)
})

t.test('user and password hash of a device token cannot be shifted', async t => {
  const devices = new DeviceTokens([key])
  const token = devices.issue({ userId: 'ann', passwordHash: 'hash' }, null)

  for (const account of [['annh', 'ash'], ['an', 'nhash'], ['', 'annhash'], ['annhash', '']]) {
    const [userId, passwordHash] = account as [string, string]
    t.equal(devices.read(token, { userId, passwordHash }), null)
  }
})

t.test('a known device keeps its id and its token', async t => {
  const devices = new DeviceTokens([key])
  const token = devices.issue(ann, null)
  t.equal(devices.issue(ann, devices.read(token, ann)), token)
  t.not(devices.issue(ann, null), token)
})

t.test('a previous key verifies and the current key signs', async t => {
  const [before, during, after] = [[other], [key, other], [key]].map(keys =>
    new DeviceTokens(keys as [SigningKey])
  ) as [DeviceTokens, DeviceTokens, DeviceTokens]
  const old = before.issue(ann, null)
  const device = during.read(old, ann)
  t.equal(device?.id, old.split('.')[0])
  t.equal(after.read(old, ann), null)
  t.strictSame(after.read(during.issue(ann, device), ann), device)
})

t.test('a malformed or respelled token is rejected', async t => {
  const devices = new DeviceTokens([key])
  const token = devices.issue(ann, null)
  const [id = '', signature = ''] = token.split('.')
  const last = signature.at(-1) as string
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  // Two bits of the last character belong to no byte.
  const respelled = signature.slice(0, -1) + alphabet[alphabet.indexOf(last) ^ 1]
  t.strictSame(Buffer.from(respelled, 'base64url'), Buffer.from(signature, 'base64url'))

  for (
    const invalid of [
      '',
      id,
      `${id}.`,
      `${id}.${respelled}`,
      `${id}.${signature.slice(1)}`,
      `${id}.${signature}=`,
      `${id}.${signature}\n`,
      `${'A'.repeat(22)}.${signature}`
    ]
  ) {
    t.equal(devices.read(invalid, ann), null, invalid)
  }
})

t.test('a device is trusted if its user has passed the second factor on it', async t => {
  const devices = new DeviceTokens([key])
  const known = devices.read(devices.issue(ann, null), ann)
  t.equal(known?.isTrusted, false)
  const trusted = devices.read(devices.issue(ann, known, true), ann)
  t.strictSame(trusted, { id: known?.id, isTrusted: true })
  t.strictSame(devices.read(devices.issue(ann, trusted), ann), trusted, 'and remains so')
})
