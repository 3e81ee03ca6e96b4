// CI preloads this file into each test (`tap --node-arg`). Every Fastify app then logs at level
// trace. When the process exits, the file searches all log lines for secrets. A secret in a log
// line fails the test file. The report never contains the secret itself.
//
// The search knows secrets from their origin or from their format. Origins are tokens, cookies and
// passwords of requests and responses, and also secrets, peppers and keys of the app. The search
// finds any 23 characters of them, and 12 characters at the start or the end. Formats are JWTs,
// password hashes and private keys. The search ignores URLs that Fastify logs, because the client
// chooses their content.
//
// The file also watches processes that a test starts, unless the test kills them.

import crypto, { KeyObject, randomUUID } from 'node:crypto'
import type { KeyPairKeyObjectResult } from 'node:crypto'
import diagnostics from 'node:diagnostics_channel'
import { appendFileSync, existsSync, readFileSync, rmSync } from 'node:fs'
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http'
import { createRequire, syncBuiltinESMExports } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import type { Level } from 'pino'

const PIECE_LENGTH = 12
const require = createRequire(import.meta.url)
let requests = 0

const lines: string[] = []
const knownSecrets = new Set<string>()
/** Kinds of secrets, by pieces of 12 characters. */
const kindsByPiece = new Map<string, string>()
/** Private members of a JWK, and members that contain a key. */
const secretMembers = /^([dpqk]|dp|dq|qi|key|privateKey)$/
const formats = {
  'a JWT': /\beyJ[\w-]{9,}/,
  'a password hash': /\$argon2|\$2[aby]\$\d/,
  'a private key': /BEGIN [A-Z ]*PRIVATE KEY/
}

/** Adds a secret to the search. Ignores values that cannot be secret. */
function addSecret (kind: string, secret: unknown): void {
  if (secret instanceof KeyObject) {
    if (secret.type === 'secret') {
      addSecret(kind, secret.export())
    }

    if (secret.type !== 'private') {
      return
    }

    addSecret(kind, secret.export({ format: 'der', type: 'pkcs8' }))

    // Node.js cannot export keys of other types as JWK.
    if (/^(rsa|ec|ed25519)$/.test(secret.asymmetricKeyType ?? '')) {
      addSecret(kind, secret.export({ format: 'jwk' }))
    }
  } else if (secret instanceof ArrayBuffer) {
    addSecret(kind, new Uint8Array(secret))
  } else if (secret instanceof Uint8Array) {
    addBytes(kind, Buffer.from(secret))
  } else if (Array.isArray(secret)) {
    for (const item of secret) {
      addSecret(kind, item)
    }
  } else if (typeof secret === 'object' && secret !== null) {
    for (const [name, value] of Object.entries(secret)) {
      if (secretMembers.test(name)) {
        addSecret(kind, value)
      }
    }
  } else if (
    typeof secret === 'string' && secret.length >= PIECE_LENGTH && !knownSecrets.has(secret) &&
    !secret.includes('PUBLIC KEY')
  ) {
    knownSecrets.add(secret)
    addString(kind, secret)
    const [, payload = ''] = secret.split('.')

    // A token needs no encoding in URLs and JSON.
    if (payload.startsWith('eyJ')) {
      return addSecretsOfBody(kind, Buffer.from(payload, 'base64url').toString())
    }

    addString(kind, encodeURIComponent(secret.toWellFormed()))
    addString(kind, JSON.stringify(secret).slice(1, -1))
    addBytes(kind, Buffer.from(secret))
  }
}

function addBytes (kind: string, bytes: Buffer): void {
  for (const encoding of ['base64', 'base64url', 'hex'] as const) {
    addString(kind, bytes.toString(encoding))
  }

  addString(kind, bytes.join(','))
}

function addString (kind: string, value: string): void {
  for (let i = 0; i <= value.length; i += PIECE_LENGTH) {
    const start = Math.min(i, value.length - PIECE_LENGTH)
    const piece = value.slice(start).slice(0, PIECE_LENGTH)

    // Pieces such as `xxxxxxxxxxxx` and `0,0,0,0,0,0,` match too many log lines.
    if (piece.length === PIECE_LENGTH && !kindsByPiece.has(piece) && new Set(piece).size > 4) {
      kindsByPiece.set(piece, kind)
    }
  }
}

/** Adds the tokens, passwords and secrets of a body. The body may be malformed or incomplete. */
function addSecretsOfBody (where: string, body: string): void {
  for (
    const [, name, value] of body.matchAll(
      /(\w{0,20}(?:token|password|secret))"?\s*[:=]\s*"?((?:[^"&\\]|\\.){12,})/gi
    )
  ) {
    addSecret(`${name} in ${where}`, value)
  }
}

function addSecretsOfHeaders (
  where: string,
  headers: IncomingHttpHeaders | OutgoingHttpHeaders
): void {
  for (const [name, value] of Object.entries(headers)) {
    const values = [value].flat().map(String)

    if (name === 'cookie') {
      values.splice(0, 1, ...values[0]?.split(';') ?? [])
    }

    if (name.includes('cookie')) {
      addSecret(`${name} in ${where}`, values.map(pair => /=([^;]*)/.exec(pair)?.[1]))
    } else if (/authorization|token/.test(name)) {
      addSecret(`${name} in ${where}`, values.flatMap(value => value.split(' ')))
    }
  }
}

function addSecretsOfOptions (options: object, depth = 0): void {
  for (const [name, value] of Object.entries(options)) {
    if (/^(secret|pepper|keys)$/.test(name)) {
      addSecret(`the option ${name}`, value)
    } else if (depth < 2 && typeof value === 'object' && value?.constructor === Object) {
      addSecretsOfOptions(value, depth + 1)
    }
  }
}

// Replaces every logger with one at level trace. The app's own stream still receives its level
// only. pino publishes every line to a diagnostics channel.
const factory = require('fastify/lib/logger-factory.js') as {
  createLogger(options: FastifyServerOptions): unknown
}
const { createLogger } = factory

factory.createLogger = options => {
  const { logger, loggerInstance } = options
  const own = typeof logger === 'object' ? logger : {}

  if (loggerInstance !== undefined || 'file' in own || 'transport' in own) {
    return createLogger(options)
  }

  const { multistream, destination } = require('pino') as typeof import('pino')
  const { level = 'info', stream = null, ...rest } = own
  const streams = logger ? [{ level: level as Level, stream: stream ?? destination(1) }] : []

  return createLogger({
    ...options,
    logger: { ...rest, level: 'trace', stream: multistream(streams) }
  })
}

diagnostics.subscribe('tracing:pino_asJson:end', message => {
  lines.push((message as { result: string }).result)
})

// Subscribes to every event of the plugin when its channel is created.
const { channel } = diagnostics
const subscribedNames = new Set<string | symbol>()

diagnostics.channel = name => {
  if (!subscribedNames.has(name) && String(name).startsWith('fastify-token-auth:')) {
    subscribedNames.add(name)
    diagnostics.subscribe(name, event => {
      lines.push(JSON.stringify({ msg: String(name), event }))
    })
  }

  return channel(name)
}

// Adds every key that the process creates.
for (
  const name of ['createPrivateKey', 'createSecretKey', 'generateKeyPairSync', 'hkdfSync'] as const
) {
  const create = crypto[name] as (
    ...args: unknown[]
  ) => KeyObject | ArrayBuffer | KeyPairKeyObjectResult
  Object.assign(crypto, {
    [name]: (...args: unknown[]) => {
      const result = create(...args)
      addSecret(`result of ${name}`, result)
      return result
    }
  })
}

syncBuiltinESMExports()

diagnostics.subscribe('fastify.initialization', message => {
  const { fastify: app } = message as { fastify: FastifyInstance }
  const register = app.register as (this: unknown, plugin: unknown, options?: unknown) => unknown
  Object.assign(app, {
    register (this: unknown, plugin: unknown, options: unknown) {
      if (typeof options === 'object' && options !== null) {
        addSecretsOfOptions(options)
      }

      return register.call(this, plugin, options)
    }
  })
  app.addHook('onRequest', (request, _reply, done) => {
    requests++
    addSecretsOfHeaders('a request', request.headers)
    // No later hook receives a body that Fastify cannot parse.
    const raw = request.raw as Readable
    const push = raw.push
    let body = ''

    raw.push = function (chunk: unknown, ...rest) {
      if (typeof chunk === 'string' || chunk instanceof Uint8Array) {
        addSecretsOfBody('a request', body += Buffer.from(chunk as string).toString())
      }

      return push.call(this, chunk, ...rest)
    }

    done()
  })
  app.addHook('onSend', (_request, reply, payload, done) => {
    // Pages and scripts contain code after `token:`, and no secrets.
    if (
      typeof payload === 'string' &&
      !/html|javascript/.test(String(reply.getHeader('content-type')))
    ) {
      addSecretsOfBody('a response', payload)
    }

    done(null, payload)
  })
  app.addHook('onResponse', (_request, reply, done) => {
    addSecretsOfHeaders('a response', reply.getHeaders() as OutgoingHttpHeaders)
    done()
  })
})

/** Returns the kinds of secrets that a string contains. */
function findKinds (text: string): string[] {
  const kinds = Object.entries(formats).filter(([, format]) => format.test(text)).map(([kind]) =>
    kind
  )

  for (let i = 0; i <= text.length - PIECE_LENGTH; i++) {
    const kind = kindsByPiece.get(text.slice(i, i + PIECE_LENGTH))

    if (kind !== undefined) {
      kinds.push(kind)
    }
  }

  return [...new Set(kinds)]
}

// Some tests send a session ID as a token. Fastify itself logs malformed packets and host names.
const ignoredMembers = new RegExp(
  [
    '"sessionId":"[\\w-]{1,32}"',
    '"rawPacket":\\{"type":"Buffer","data":\\[[\\d,]*\\]\\}',
    '"host":"(?:[^"\\\\]|\\\\.)*"'
  ].join('|'),
  'g'
)

/** Returns a message for each log line that contains a secret. */
function findLeaks (): string[] {
  const suspects = lines.filter(line => findKinds(line).length > 0)
  const urls = new Set(
    suspects.map(line => /"req":\{"method":"[^"]*","url":"((?:[^"\\]|\\.)*)"/.exec(line)?.[1] ?? '')
      .filter(url => findKinds(url).length > 0)
  )
  const leaks = suspects.flatMap(line => {
    const text = line.replace(ignoredMembers, '')
    const kinds = findKinds([...urls].reduce((text, url) => text.replaceAll(url, ''), text))

    if (kinds.length === 0) {
      return []
    }

    const { msg = '' } = JSON.parse(line) as { msg?: string }
    // A quoted part of the message may be a piece of a secret that is too short to be found.
    const words = /^[\w\s,.:;-]*/.exec(msg)?.[0]
    const isInMessage = findKinds(`${msg} ${JSON.stringify(msg)}`).length > 0
    return [`a log line contains ${kinds.join(', ')}: ${isInMessage ? 'in its msg' : words}`]
  })

  return requests > 0 && lines.length === 0
    ? ['no log lines: the trace watch is out of order']
    : [...new Set(leaks)]
}

// A child process reports its leaks to its parent in a file.
const isChild = Boolean(process.env.TRACE_WATCH)
const report = process.env.TRACE_WATCH ||= join(tmpdir(), `trace-watch-${randomUUID()}`)

if (!isChild) {
  // tsx does not run in worker threads, such as the transports of pino.
  const load = `import { isMainThread } from 'node:worker_threads'
    if (isMainThread) for (const file of ${
    JSON.stringify([import.meta.resolve('tsx'), import.meta.url])
  }) await import(file)`
  process.env.NODE_OPTIONS = `${process.env.NODE_OPTIONS ?? ''} --import=data:text/javascript,${
    encodeURIComponent(load)
  }`
}

process.on('exit', () => {
  const text = findLeaks().map(leak => `trace-watch: ${process.argv[1]}: ${leak}\n`).join('')

  if (text !== '') {
    appendFileSync(report, text)
  }

  if (isChild || !existsSync(report)) {
    return
  }

  console.error(readFileSync(report, 'utf8'))
  rmSync(report)
  process.exitCode = 1
})
