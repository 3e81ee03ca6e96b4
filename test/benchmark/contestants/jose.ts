// jose in a hook of one's own. Keys are imported once, which is the fast way; its examples do so too.

import { webcrypto } from 'node:crypto'
import { importPKCS8, importSPKI, jwtVerify, SignJWT } from 'jose'
import {
  createApp,
  keyPair,
  LIFETIME,
  listen,
  protectedWork,
  SECRET,
  sessionId,
  userId
} from './contestant.js'
import type { Algorithm, Setup, Started } from './contestant.js'

interface Keys {
  readonly signing: webcrypto.CryptoKey
  readonly verifying: webcrypto.CryptoKey
}

async function importKeys (alg: Algorithm): Promise<Keys> {
  if (alg === 'HS256') {
    const hmac = { name: 'HMAC', hash: 'SHA-256' }
    const key = await webcrypto.subtle.importKey('raw', Buffer.from(SECRET), hmac, false, [
      'sign',
      'verify'
    ])
    return { signing: key, verifying: key }
  }

  const { privateKey, publicKey } = keyPair(alg)

  return {
    signing: await importPKCS8(privateKey, alg),
    verifying: await importSPKI(publicKey, alg)
  }
}

declare module 'fastify' {
  interface FastifyRequest {
    subject: string | undefined
  }
}

export async function start ({ alg, tokens: count }: Setup): Promise<Started> {
  const app = createApp()
  const { signing, verifying } = await importKeys(alg)
  app.decorateRequest('subject', undefined)
  app.get('/protected', {
    async onRequest (request, reply) {
      try {
        const { payload } = await jwtVerify(
          request.headers.authorization?.slice('Bearer '.length) ?? '',
          verifying,
          { algorithms: [alg] }
        )
        request.subject = payload.sub
      } catch {
        return reply.code(401).send({ error: 'Unauthorized' })
      }
    }
  }, async request => ({ user: request.subject }))
  const port = await listen(app)
  const tokens: string[] = []

  for (let n = 0; n < count; n++) {
    tokens.push(
      await new SignJWT({ sub: userId(n), sid: sessionId(n), type: 'access' })
        .setProtectedHeader({ alg })
        .setIssuedAt()
        .setExpirationTime(Math.floor(Date.now() / 1000) + LIFETIME)
        .sign(signing)
    )
  }

  return { port, work: protectedWork(tokens) }
}
