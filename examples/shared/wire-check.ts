import { realpathSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { isDeepStrictEqual } from 'node:util'

/** Settings of a check, by the names of environment variables. An empty one counts as missing. */
export type Settings = Readonly<Record<string, string | undefined>>

/** Response of the checked server. */
export interface Answer {
  readonly status: number
  readonly headers: Headers
  /** JSON of the body. An empty object if the body is no JSON object. */
  readonly body: Readonly<Record<string, unknown>>
}

interface Sent {
  readonly bearer?: unknown
  readonly json?: object
  readonly form?: Record<string, string>
}

// Longer lifetimes are not waited for.
const MAX_WAIT = 120_000

/** Sends the requests of old clients to a server, and collects what differs. */
export class WireCheck {
  readonly differences: string[] = []
  /** Requests that were not sent, because their token lives too long. */
  readonly notes: string[] = []
  readonly #url: string
  readonly #settings: Settings
  readonly #wait: ((millis: number) => Promise<unknown>) | undefined

  /** @param wait - Lets time pass. Tests advance the clock of the server. */
  constructor (
    url: string,
    settings: Settings = {},
    wait?: (millis: number) => Promise<unknown>
  ) {
    this.#url = url.replace(/\/$/, '')
    this.#settings = settings
    this.#wait = wait
  }

  /** Returns a setting, or its default. */
  setting (name: string, byDefault: string): string {
    return this.#settings[name] || byDefault
  }

  /** Sends a request of an old client. */
  async send (method: string, path: string, { bearer, json, form }: Sent = {}): Promise<Answer> {
    const response = await fetch(this.#url + path, {
      method,
      headers: {
        ...(bearer !== undefined && { authorization: `Bearer ${String(bearer)}` }),
        ...(json !== undefined && { 'content-type': 'application/json' })
      },
      ...(json !== undefined && { body: JSON.stringify(json) }),
      ...(form !== undefined && { body: new URLSearchParams(form) })
    })
    const text = await response.text()
    return { status: response.status, headers: response.headers, body: readObject(text) }
  }

  /** Notes a difference if a value is not the expected one. */
  equal (place: string, actual: unknown, expected: unknown): void {
    if (!isDeepStrictEqual(actual, expected)) {
      this.differences.push(`${place} is ${format(actual)}, expected ${format(expected)}`)
    }
  }

  /** Notes a difference if a value does not have one of these types: `string`, `number`, ... */
  type (place: string, actual: unknown, ...types: string[]): void {
    const type = actual === null ? 'null' : typeof actual

    if (!types.includes(type)) {
      this.differences.push(`${place} is ${type}, expected ${types.join(' or ')}`)
    }
  }

  /** Notes a difference if a condition is false. */
  ok (place: string, condition: boolean): void {
    if (!condition) {
      this.differences.push(place)
    }
  }

  /** Checks the lifetime of a JWT, in seconds. Clients read it from the token. */
  lifetime (place: string, token: unknown, seconds: number): void {
    const { iat, exp } = readClaims(token)
    this.equal(`${place}: lifetime in seconds`, Number(exp) - Number(iat), Math.floor(seconds))
  }

  /** Checks a response with an access token and a refresh token, and their lifetimes. */
  pair (
    place: string,
    { status, body }: Answer,
    accessSeconds: number,
    refreshSeconds: number
  ): void {
    this.equal(`${place}: status`, status, 200)
    this.type(`${place}: access_token`, body.access_token, 'string')
    this.type(`${place}: refresh_token`, body.refresh_token, 'string')
    this.lifetime(`${place}: access token`, body.access_token, accessSeconds)
    this.lifetime(`${place}: refresh token`, body.refresh_token, refreshSeconds)
  }

  /**
   * Lets a token expire.
   *
   * @returns Whether it has expired. Lifetimes above two minutes are only noted.
   */
  async expire (what: string, seconds: number, variable: string): Promise<boolean> {
    const millis = (seconds + 1) * 1000

    if (this.#wait === undefined && millis > MAX_WAIT) {
      this.notes.push(`expired ${what}; start the server and this script with ${variable}`)
      return false
    }

    await (this.#wait ?? sleep)(millis)
    return true
  }
}

/** Returns the claims of a JWT without verifying it. An empty object if it is no JWT. */
export function readClaims (token: unknown): Readonly<Record<string, unknown>> {
  const [, payload = ''] = String(token).split('.')
  return readObject(Buffer.from(payload, 'base64url').toString())
}

/**
 * Runs a check as a program if the module is the one that Node.js was started with.
 *
 * Prints a line for each difference, and `no difference` if there is none. Exits with 1 if there
 * are differences, and with 2 if the check cannot run.
 *
 * @param moduleUrl `import.meta.url` of the module.
 */
export async function checkIfMain (
  moduleUrl: string,
  check: (wire: WireCheck) => Promise<void>
): Promise<void> {
  const [, main, url] = process.argv

  if (main === undefined || realpathSync(main) !== fileURLToPath(moduleUrl)) {
    return
  }

  if (url === undefined || !URL.canParse(url)) {
    console.error('usage: check.ts http://127.0.0.1:8000')
    process.exitCode = 2
    return
  }

  const wire = new WireCheck(url, process.env)

  try {
    await check(wire)
  } catch (error) {
    const { message, cause } = error as Error
    console.error(`check failed: ${message}`, ...(cause instanceof Error ? [cause.message] : []))
    process.exitCode = 2
  }

  for (const line of wire.differences) {
    console.log(line)
  }

  for (const note of wire.notes) {
    console.log(`not checked: ${note}`)
  }

  if (wire.differences.length > 0) {
    process.exitCode = 1
  } else if (process.exitCode === undefined) {
    console.log('no difference')
  }
}

function readObject (text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? value as Record<string, unknown> : {}
  } catch {
    return {}
  }
}

function format (value: unknown): string {
  return value === undefined ? 'missing' : JSON.stringify(value)
}
