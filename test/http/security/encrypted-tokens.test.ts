import { createCipheriv, createHmac, randomBytes } from 'node:crypto'
import t from 'tap'
import { deriveKey } from '../../../src/tokens/key-derivation.js'
import { SECRET } from '../../helpers/app.js'
import { assertRejected, listen } from './raw-server.js'

t.test('encrypted, nested and JSON-serialized tokens are rejected [19]', async t => {
  const server = await listen(t)
  const { access_token: token } = await server.login()
  const [head = '', payload = '', signature = ''] = token.split('.')
  const { id: kid, key } = deriveKey(SECRET, 'auth', 'access')
  const encode = (part: unknown): string =>
    Buffer.from(typeof part === 'string' ? part : JSON.stringify(part)).toString('base64url')

  const sign = (header: object, body: string): string => {
    const input = `${encode(header)}.${body}`
    return `${input}.${createHmac('sha256', key).update(input).digest('base64url')}`
  }

  const encrypt = (header: object, text: string): string => {
    const [protectedHeader, iv] = [encode(header), randomBytes(12)]
    const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from(protectedHeader))
    const sealed = Buffer.concat([cipher.update(text), cipher.final()])

    return [
      protectedHeader,
      '',
      ...[iv, sealed, cipher.getAuthTag()].map(part => part.toString('base64url'))
    ].join('.')
  }

  const own = { alg: 'HS256', typ: 'at+jwt', kid }
  const jwe = { alg: 'dir', enc: 'A256GCM', typ: 'at+jwt', kid }
  const claims = Buffer.from(payload, 'base64url').toString()
  const flattened = JSON.stringify({ payload, protected: head, signature })
  const others = {
    JWE: encrypt(jwe, claims),
    'a JWT in a JWE': encrypt({ ...jwe, cty: 'JWT' }, token),
    'a JWT in a JWT': sign(own, encode(token)),
    'a JWT in a JWT, marked': sign({ ...own, cty: 'JWT' }, encode(token)),
    'a quoted JWT in a JWT': sign(own, encode(JSON.stringify(token))),
    'a JWT that says that it holds another': sign({ ...own, cty: 'JWT' }, payload),
    'a JWT that says that it is encrypted': sign({ ...own, enc: 'A256GCM' }, payload),
    'a JWT of another type': sign({ ...own, typ: 'JWT' }, payload),
    'flattened JSON': flattened,
    'flattened JSON, encoded': encode(flattened),
    'general JSON': JSON.stringify({ payload, signatures: [{ protected: head, signature }] }),
    'a detached payload': `${head}..${signature}`
  }
  t.equal(
    (await server.raw('GET /protected', `Authorization: Bearer ${sign(own, payload)}`)).status,
    200,
    'the key is ours'
  )

  for (const [name, other] of Object.entries(others)) {
    assertRejected(
      t,
      await server.raw('GET /protected', `Authorization: Bearer ${other}`),
      401,
      'AUTH_ACCESS_INVALID',
      name
    )
    assertRejected(
      t,
      await server.raw('GET /auth/me', `Authorization: Bearer ${other}`),
      401,
      'AUTH_ACCESS_INVALID',
      name
    )
    assertRejected(
      t,
      await server.raw('POST /auth/refresh', `Authorization: Bearer ${other}`),
      401,
      'AUTH_REFRESH_INVALID',
      name
    )
  }
})
