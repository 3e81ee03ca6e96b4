import { webcrypto } from 'node:crypto'
import { importPKCS8, importSPKI, jwtVerify, SignJWT } from 'jose'
import {
  createApp,
  createKeyPair,
  createProtectedWorkload,
  createSessionId,
  createUserId,
  LIFETIME,
  listen,
  SECRET
} from './shared.js'
import type { Algorithm, ServerSettings, StartedServer } from './shared.js'

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

  const { privateKey, publicKey } = createKeyPair(alg)

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

/** Starts a route with `jwtVerify` in a hook. The keys are imported once, which is the fast way. */
export async function startProtectedServer (
  { alg, tokens: count }: ServerSettings
): Promise<StartedServer> {
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
      await new SignJWT({ sub: createUserId(n), sid: createSessionId(n), type: 'access' })
        .setProtectedHeader({ alg })
        .setIssuedAt()
        .setExpirationTime(Math.floor(Date.now() / 1000) + LIFETIME)
        .sign(signing)
    )
  }

  return { port, workload: createProtectedWorkload(tokens) }
}
