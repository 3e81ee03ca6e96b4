// Sign in and step up with passkeys: npx tsx examples/passkeys/server.ts
//
//   ORIGIN       http://localhost:3000, the origin of the page
//   PORT         3000
//   AUTH_SECRET  a public value, for local trials only

import { readFileSync } from 'node:fs'
import {
  generateAuthenticationOptions,
  generateRegistrationOptions,
  verifyAuthenticationResponse,
  verifyRegistrationResponse
} from '@simplewebauthn/server'
import type {
  AuthenticationResponseJSON,
  RegistrationResponseJSON,
  WebAuthnCredential
} from '@simplewebauthn/server'
import { hash } from '@node-rs/argon2'
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import { authenticate, getAuth, requireFresh, tokenAuth } from 'fastify-token-auth'
import { MemoryStore } from 'fastify-token-auth/memory'
import { secret } from '../shared/secret.js'
import { startIfMain } from '../shared/start.js'

interface Passkey extends WebAuthnCredential {
  readonly userId: string
  /** Whether the key cannot leave the device. */
  readonly isBound: boolean
}

const page = readFileSync(new URL('page.html', import.meta.url), 'utf8')

/** Builds the app. Tests pass their own environment. */
export async function buildApp (env = process.env): Promise<FastifyInstance> {
  const app = Fastify({ logger: true })
  const ann = { id: '1', username: 'ann', passwordHash: await hash('correct horse') }
  // In production, a table. `id` is unique, and `counter` is written after each use.
  const passkeys = new Map<string, Passkey>()

  await app.register(tokenAuth, {
    secret,
    store: new MemoryStore(),
    // One instance. Several ones need "throttle.attempts" on a database for one-time tokens.
    revocations: false,
    users: {
      findByLogin: login => login === ann.username ? ann : null,
      findById: id => id === ann.id ? ann : null
    }
  })
  const { oneTimeTokens } = app.tokenAuth

  const getOrigin = (): string => {
    const { port } = app.server.address() as { readonly port: number }
    return env.ORIGIN ?? `http://localhost:${port}`
  }

  const getParty = () => ({
    expectedOrigin: getOrigin(),
    expectedRPID: new URL(getOrigin()).hostname
  })

  // A challenge is valid once: the one-time token counts it on all instances.
  const createTicket = (purpose: string, subject: string, challenge: string) =>
    oneTimeTokens.create({ purpose, subject, lifetime: '5m', data: { challenge } })

  async function redeemTicket (purpose: string, ticket: string) {
    const { subject, data, isDone } = await oneTimeTokens.redeem(ticket, { purpose })

    if (isDone) {
      throw Object.assign(new Error('The challenge was used before'), { statusCode: 400 })
    }

    return { subject, challenge: data.challenge as string }
  }

  /** Verifies the response of an authenticator, and returns its passkey. */
  async function verifyPasskey (
    purpose: string,
    { ticket, response }: PasskeyBody<AuthenticationResponseJSON>
  ): Promise<Passkey> {
    const { challenge } = await redeemTicket(purpose, ticket)
    const passkey = passkeys.get(response.id)
    const result = passkey === undefined
      ? null
      : await verifyAuthenticationResponse({
        response,
        expectedChallenge: challenge,
        credential: passkey,
        ...getParty()
      })

    if (passkey === undefined || result?.verified !== true) {
      throw Object.assign(new Error('Unknown passkey'), { statusCode: 401 })
    }

    passkey.counter = result.authenticationInfo.newCounter
    return passkey
  }

  // RFC 8176: a key in hardware, or a key that is synchronized between devices.
  const getAmr = ({ isBound }: Passkey): string[] => [isBound ? 'hwk' : 'swk']

  app.get('/', (_request, reply) => reply.type('text/html').send(page))

  // Registration: only after a recent login, so that a stolen access token adds no passkey.
  app.post('/passkeys/options', {
    onRequest: [authenticate, requireFresh('5m')]
  }, async request => {
    const { userId } = getAuth(request)
    const options = await generateRegistrationOptions({
      rpName: 'Example',
      rpID: getParty().expectedRPID,
      userName: ann.username,
      userID: new TextEncoder().encode(userId),
      authenticatorSelection: { residentKey: 'required', userVerification: 'required' }
    })
    const { token: ticket } = await createTicket('passkey-registration', userId, options.challenge)
    return { options, ticket }
  })

  app.post<{ Body: PasskeyBody<RegistrationResponseJSON> }>('/passkeys', {
    onRequest: [authenticate, requireFresh('5m')]
  }, async (request, reply) => {
    const { ticket, response } = request.body
    const { userId } = getAuth(request)
    const { subject, challenge } = await redeemTicket('passkey-registration', ticket)
    const { registrationInfo } = await verifyRegistrationResponse({
      response,
      expectedChallenge: challenge,
      ...getParty()
    })

    if (registrationInfo === undefined || subject !== userId) {
      return reply.code(400).send({ message: 'The passkey is not accepted' })
    }

    const { credential, credentialDeviceType: type } = registrationInfo
    passkeys.set(credential.id, { ...credential, userId, isBound: type === 'singleDevice' })
    return reply.code(204).send()
  })

  // The same options serve a sign-in and a step-up. The tickets differ.
  const addChallengeRoute = (path: string, purpose: string): void => {
    app.post(path, async () => {
      const options = await generateAuthenticationOptions({
        rpID: getParty().expectedRPID,
        userVerification: 'required'
      })
      const { token: ticket } = await createTicket(purpose, 'anyone', options.challenge)
      return { options, ticket }
    })
  }

  addChallengeRoute('/passkeys/sign-in/options', 'passkey-sign-in')
  addChallengeRoute('/passkeys/elevate/options', 'passkey-elevate')

  app.post<{ Body: PasskeyBody<AuthenticationResponseJSON> }>(
    '/passkeys/sign-in',
    async (request, reply) => {
      const passkey = await verifyPasskey('passkey-sign-in', request.body)
      reply.header('cache-control', 'no-store')
      return app.tokenAuth.openSession(passkey.userId, request, { amr: getAmr(passkey) })
    }
  )

  app.post<{ Body: PasskeyBody<AuthenticationResponseJSON> }>('/passkeys/elevate', {
    onRequest: [authenticate]
  }, async (request, reply) => {
    const passkey = await verifyPasskey('passkey-elevate', request.body)

    if (passkey.userId !== getAuth(request).userId) {
      return reply.code(403).send({ message: 'The passkey belongs to another user' })
    }

    reply.header('cache-control', 'no-store')
    return app.tokenAuth.elevate(request, { amr: getAmr(passkey), reply })
  })

  app.post('/pay', {
    onRequest: [authenticate, requireFresh('5m', { amr: ['hwk', 'swk'] })]
  }, async () => ({ paid: true }))

  return app
}

interface PasskeyBody<Response> {
  readonly ticket: string
  readonly response: Response
}

await startIfMain(import.meta.url, buildApp)
