// Preloaded into each test in CI (`tap --node-arg`), so that no test has to think of it: every
// Fastify app logs at level trace, whatever it was told, and what was logged is searched at the end
// for every secret that was there. A hit fails the test file. No secret is ever printed, not even
// then.
//
// A text is secret by where it came from (tokens, cookies and passwords of requests and answers;
// secrets, peppers, private and derived keys), or by how it looks (a JWT, a password hash, a
// private key). Of what comes from somewhere, any piece of 23 characters is found, and its
// beginning and its end by 12. What a client puts into a URL is its own doing, and Fastify's, who
// logs that: it is not looked for there, but it is in everything else.
//
// Processes that a test starts are watched too, unless they are killed.

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

const SHORTEST = 12
const require = createRequire(import.meta.url)
let requests = 0

const lines: string[] = []
const seen = new Set<string>()
/** What kind of secret a piece of 12 characters is from. */
const pieces = new Map<string, string>()
/** Of a JWK, and of what wraps one. */
const secretMembers = /^([dpqk]|dp|dq|qi|key|privateKey)$/
const looks = {
  'a JWT': /\beyJ[\w-]{9,}/,
  'a password hash': /\$argon2|\$2[aby]\$\d/,
  'a private key': /BEGIN [A-Z ]*PRIVATE KEY/
}

/** @param secret - of any type; what cannot be secret is passed over */
function keep (kind: string, secret: unknown): void {
  if (secret instanceof KeyObject) {
    if (secret.type === 'secret') {
      keep(kind, secret.export())
    }

    if (secret.type !== 'private') {
      return
    }

    keep(kind, secret.export({ format: 'der', type: 'pkcs8' }))

    // Of other kinds there is no JWK.
    if (/^(rsa|ec|ed25519)$/.test(secret.asymmetricKeyType ?? '')) {
      keep(kind, secret.export({ format: 'jwk' }))
    }
  } else if (secret instanceof ArrayBuffer) {
    keep(kind, new Uint8Array(secret))
  } else if (secret instanceof Uint8Array) {
    keepBytes(kind, Buffer.from(secret))
  } else if (Array.isArray(secret)) {
    for (const each of secret) {
      keep(kind, each)
    }
  } else if (typeof secret === 'object' && secret !== null) {
    for (const [name, value] of Object.entries(secret)) {
      if (secretMembers.test(name)) {
        keep(kind, value)
      }
    }
  } else if (
    typeof secret === 'string' && secret.length >= SHORTEST && !seen.has(secret) &&
    !secret.includes('PUBLIC KEY')
  ) {
    seen.add(secret)
    keepText(kind, secret)
    const [, payload = ''] = secret.split('.')

    // A token is the same in URLs and in JSON, and has no bytes of its own.
    if (payload.startsWith('eyJ')) {
      return gather(kind, Buffer.from(payload, 'base64url').toString())
    }

    for (
      const text of [encodeURIComponent(secret.toWellFormed()), JSON.stringify(secret).slice(1, -1)]
    ) {
      keepText(kind, text)
    }

    keepBytes(kind, Buffer.from(secret))
  }
}

function keepBytes (kind: string, bytes: Buffer): void {
  for (const encoding of ['base64', 'base64url', 'hex'] as const) {
    keepText(kind, bytes.toString(encoding))
  }

  keepText(kind, bytes.join(','))
}

function keepText (kind: string, text: string): void {
  for (let i = 0; i <= text.length; i += SHORTEST) {
    const piece = text.slice(Math.min(i, text.length - SHORTEST)).slice(0, SHORTEST)

    // `xxxxxxxxxxxx` and `0,0,0,0,0,0,` are in too much.
    if (piece.length === SHORTEST && !pieces.has(piece) && new Set(piece).size > 4) {
      pieces.set(piece, kind)
    }
  }
}

/** Keeps what a body says to be secret, also where it is broken or only a piece of one. */
function gather (where: string, body: string): void {
  for (
    const [, name, value] of body.matchAll(
      /(\w{0,20}(?:token|password|secret))"?\s*[:=]\s*"?((?:[^"&\\]|\\.){12,})/gi
    )
  ) {
    keep(`${name} in ${where}`, value)
  }
}

function gatherHeaders (where: string, headers: IncomingHttpHeaders | OutgoingHttpHeaders): void {
  for (const [name, value] of Object.entries(headers)) {
    const values = [value].flat().map(String)

    if (name === 'cookie') {
      values.splice(0, 1, ...values[0]?.split(';') ?? [])
    }

    if (name.includes('cookie')) {
      keep(`${name} in ${where}`, values.map(pair => /=([^;]*)/.exec(pair)?.[1]))
    } else if (/authorization|token/.test(name)) {
      keep(`${name} in ${where}`, values.flatMap(text => text.split(' ')))
    }
  }
}

function gatherOptions (options: object, depth = 0): void {
  for (const [name, value] of Object.entries(options)) {
    if (/^(secret|pepper|keys)$/.test(name)) {
      keep(`the option ${name}`, value)
    } else if (depth < 2 && typeof value === 'object' && value?.constructor === Object) {
      gatherOptions(value, depth + 1)
    }
  }
}

// Loggers: in place of none one that writes nowhere, and in place of one that writes less than
// everything one that is asked for everything, and writes what it would have. What any logger of
// pino writes is told on a channel.
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

// Events, of all names that there are and will be.
const { channel } = diagnostics
const known = new Set<string | symbol>()

diagnostics.channel = name => {
  if (!known.has(name) && String(name).startsWith('fastify-token-auth:')) {
    known.add(name)
    diagnostics.subscribe(name, event => {
      lines.push(JSON.stringify({ msg: String(name), event }))
    })
  }

  return channel(name)
}

// Keys, however they come about.
for (
  const name of ['createPrivateKey', 'createSecretKey', 'generateKeyPairSync', 'hkdfSync'] as const
) {
  const make = crypto[name] as (
    ...given: unknown[]
  ) => KeyObject | ArrayBuffer | KeyPairKeyObjectResult
  Object.assign(crypto, {
    [name]: (...given: unknown[]) => {
      const made = make(...given)
      keep(`what ${name} made`, made)
      return made
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
        gatherOptions(options)
      }

      return register.call(this, plugin, options)
    }
  })
  app.addHook('onRequest', (request, _reply, done) => {
    requests++
    gatherHeaders('a request', request.headers)
    // As it arrives, since what cannot be parsed comes to no later hook.
    const raw = request.raw as Readable
    const push = raw.push
    let body = ''

    raw.push = function (chunk: unknown, ...rest) {
      if (typeof chunk === 'string' || chunk instanceof Uint8Array) {
        gather('a request', body += Buffer.from(chunk as string).toString())
      }

      return push.call(this, chunk, ...rest)
    }

    done()
  })
  app.addHook('onSend', (_request, reply, payload, done) => {
    // Not of pages and scripts, in which words of code follow `token:`.
    if (
      typeof payload === 'string' &&
      !/html|javascript/.test(String(reply.getHeader('content-type')))
    ) {
      gather('an answer', payload)
    }

    done(null, payload)
  })
  app.addHook('onResponse', (_request, reply, done) => {
    gatherHeaders('an answer', reply.getHeaders() as OutgoingHttpHeaders)
    done()
  })
})

/** The kinds of secrets in a text. */
function kindsIn (text: string): string[] {
  const kinds = Object.entries(looks).filter(([, look]) => look.test(text)).map(([kind]) => kind)

  for (let i = 0; i <= text.length - SHORTEST; i++) {
    const kind = pieces.get(text.slice(i, i + SHORTEST))

    if (kind !== undefined) {
      kinds.push(kind)
    }
  }

  return [...new Set(kinds)]
}

/** What was logged that should not have been. */
function search (): string[] {
  const suspects = lines.filter(line => kindsIn(line).length > 0)
  const urls = new Set(
    suspects.map(line => /"req":\{"method":"[^"]*","url":"((?:[^"\\]|\\.)*)"/.exec(line)?.[1] ?? '')
      .filter(url => kindsIn(url).length > 0)
  )
  const found = suspects.flatMap(line => {
    // An id is no secret, even where a test presented it as one; and Fastify itself logs the bytes
    // of what is not HTTP, and the host that a client names.
    const text = line.replace(
      /"sessionId":"[\w-]{1,30}"|"rawPacket":\{"type":"Buffer","data":\[[\d,]*\]\}|"host":"(?:[^"\\]|\\.)*"/g,
      ''
    )
    const kinds = kindsIn([...urls].reduce((text, url) => text.replaceAll(url, ''), text))

    if (kinds.length === 0) {
      return []
    }

    const { msg = '' } = JSON.parse(line) as { msg?: string }
    // What is quoted in it may be a piece that is too short to be known.
    const words = /^[\w\s,.:;-]*/.exec(msg)?.[0]

    return [
      `a log line holds ${kinds.join(', ')}: ${
        kindsIn(`${msg} ${JSON.stringify(msg)}`).length > 0 ? 'in its msg' : words
      }`
    ]
  })

  return requests > 0 && lines.length === 0
    ? ['nothing was logged: this watches no more']
    : [...new Set(found)]
}

// What started this process gets to know by a file what was found here.
const isChild = Boolean(process.env.TRACE_WATCH)
const report = process.env.TRACE_WATCH ||= join(tmpdir(), `trace-watch-${randomUUID()}`)

if (!isChild) {
  // Not in their worker threads, such as pino's transports: tsx is not at work there.
  const load = `import { isMainThread } from 'node:worker_threads'
    if (isMainThread) for (const file of ${
    JSON.stringify([import.meta.resolve('tsx'), import.meta.url])
  }) await import(file)`
  process.env.NODE_OPTIONS = `${process.env.NODE_OPTIONS ?? ''} --import=data:text/javascript,${
    encodeURIComponent(load)
  }`
}

process.on('exit', () => {
  const text = search().map(each => `trace-watch: ${process.argv[1]}: ${each}\n`).join('')

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
