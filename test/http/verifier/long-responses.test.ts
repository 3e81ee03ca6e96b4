import { createServer } from 'node:http'
import type { ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import Fastify from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import { tokenVerifier } from '../../../src/verifier/index.js'
import type { TokenVerifierOptions } from '../../../src/verifier/index.js'
import { createClock, SECOND } from '../../helpers/clock.js'
import * as introspection from './introspection-setup.js'
import { createSystemClock, createToken, pairs, scope, toJwk, until } from './jwks-setup.js'

/** Starts an issuer whose responses the test may change. */
async function startIssuer (
  t: Test,
  respond: (response: ServerResponse) => void
): Promise<{ uri: string, respond: typeof respond }> {
  const server = createServer((_request, response) => {
    issuer.respond(response)
  }).listen(0, '127.0.0.1')
  await new Promise(resolve => {
    server.once('listening', resolve)
  })
  t.teardown(() => {
    server.close().closeAllConnections()
  })
  const { port } = server.address() as AddressInfo
  const issuer = { uri: `http://127.0.0.1:${port}/`, respond }
  return issuer
}

/** Starts a service and returns a function that requests it with a token. */
async function startVerifier (
  t: Test,
  options: Partial<TokenVerifierOptions>
): Promise<{ lines: unknown[], status(token: string): Promise<number> }> {
  const lines: unknown[] = []
  const stream = {
    write (line: string) {
      lines.push(JSON.parse(line))
    }
  }
  const app = Fastify({ logger: { level: 'error', stream } })
  t.teardown(() => app.close())
  await app.register(tokenVerifier, { ...scope, ...options })
  app.get('/protected', { onRequest: app.authenticate }, request => request.auth)
  await app.ready()
  const status = async (token: string): Promise<number> =>
    (await app.inject({
      url: '/protected',
      headers: { authorization: `Bearer ${token}` }
    })).statusCode
  return { lines, status }
}

/** Adds a member to an object, so that its JSON has a length in bytes. */
function pad (body: object, length: number): string {
  const rest = length - JSON.stringify({ ...body, pad: '' }).length
  return JSON.stringify({ ...body, pad: 'x'.repeat(rest) })
}

/** Sends a body that has no end, and reports when the client has closed the connection. */
function sendEndlessly (start: string, onClose: () => void): (response: ServerResponse) => void {
  return response => {
    response.writeHead(200)
    response.write(start)

    const write = (): void => {
      while (!response.destroyed && response.write(' '.repeat(16_384))) {
        /* until it is full */
      }
    }

    response.on('drain', write).on('close', onClose)
    write()
  }
}

t.test('a key set of more than 256 kB counts as a failure', async t => {
  const keySet = { keys: [toJwk(pairs.EdDSA)] }
  const issuer = await startIssuer(t, response => {
    response.end(pad(keySet, 262_145))
  })
  const clock = createSystemClock(t)
  const { lines, status } = await startVerifier(t, { jwksUri: issuer.uri, clock })
  const token = createToken('EdDSA')
  t.equal(await status(token), 503)
  t.match(lines[0], {
    msg: 'failed to read the key set of the issuer',
    cause: 'RangeError response is longer than 256 kB'
  })

  issuer.respond = response => {
    response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(pad(keySet, 5_000_000)))
  }

  clock.advance(SECOND)
  t.equal(await status(token), 503, 'compressed')
  let isClosed = false
  issuer.respond = sendEndlessly(JSON.stringify(keySet), () => {
    isClosed = true
  })
  clock.advance(SECOND)
  t.equal(await status(token), 503, 'without an end')
  await until(() => isClosed)

  issuer.respond = response => {
    response.end(pad(keySet, 262_144))
  }

  clock.advance(SECOND)
  t.equal(await status(token), 200)
})

t.test('an introspection response of more than 64 kB counts as a failure', async t => {
  const { claims, client, createFakeToken } = introspection
  const issuer = await startIssuer(t, response => {
    response.end(pad(claims, 65_537))
  })
  const { lines, status } = await startVerifier(t, {
    introspection: { uri: issuer.uri, ...client },
    clock: createClock()
  })
  const token = createFakeToken('it')
  t.equal(await status(token), 503)
  t.match(lines[0], {
    msg: 'failed to introspect a token',
    cause: 'response is longer than 64 kB'
  })

  issuer.respond = response => {
    response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(pad(claims, 5_000_000)))
  }

  t.equal(await status(token), 503, 'compressed')
  let isClosed = false
  issuer.respond = sendEndlessly(JSON.stringify(claims), () => {
    isClosed = true
  })
  t.equal(await status(token), 503, 'without an end')
  await until(() => isClosed)

  issuer.respond = response => {
    response.end(pad(claims, 65_536))
  }

  t.equal(await status(token), 200)
})
