/** Facts of an error for a log line. */
export interface ErrorFacts {
  /** Name of the error, or of its class. */
  readonly type?: string
  readonly code?: string | number
  /** Missing if it may contain values of a statement. */
  readonly message?: string
  /** Frames of the stack, without the message. */
  readonly stack?: string
  readonly cause?: ErrorFacts
}

/** Error of this package with a fixed message, so that logs may contain it. */
export class SafeError extends Error {
  override readonly name = 'SafeError'
}

// A name or code that is longer, or has other characters, may contain data of a user.
const IDENTIFIER = /^[\w$.-]{1,64}$/
const FRAME = /^\s+at .*(?::\d+:\d+\)?|\(<anonymous>\)|\(native\)|\(index \d+\))$/
const MAX_FRAMES = 10
const MAX_DEPTH = 4
/** Maximum number of nested errors that are searched. An error with more loses its message. */
const MAX_SEARCHED = 50

// Errors of database drivers and query builders have one of these members. Their messages and the
// other members may contain the values of a statement.
const DRIVER_MEMBERS = [
  'severity', // pg, postgres.js
  'sqlState', // mysql2
  'sqlMessage',
  'sql', // mysql2, Sequelize
  'query', // postgres.js, Drizzle, TypeORM
  'parameters',
  'params',
  'errcode', // node:sqlite
  'command', // ioredis
  'clientVersion', // Prisma
  'writeErrors', // MongoDB
  'keyValue',
  'nativeError', // Objection
  'driverError',
  'procName' // mssql
]
const DRIVER_NAME = new RegExp(
  '^(?:Sqlite|Libsql|Postgres|Prisma|Mongo|Drizzle|Sequelize|QueryFailed|Driver|Reply|Redis)' +
    '\\w*Error$'
)
// The first one is of pg, the others are of node-redis.
const DRIVER_CLASS = /^(?:DatabaseError|SimpleError|BlobError|ErrorReply)$/
const DRIVER_CODE = /^(?:SQLITE_|ERR_SQLITE_|ER_|P\d{4}$)/

// Password hashes, and tokens in the form of a JWT.
const SECRET = /\$argon2|\$2[abxy]?\$|\beyJ[\w-]+\./

/** Whether an error, or one of the errors inside of it, comes from a database driver. */
export function isDriverError (error: unknown): boolean {
  return searchErrors(error, isOfDriver)
}

function isOfDriver (error: object): boolean {
  const { code } = error as { readonly code?: unknown }

  return DRIVER_MEMBERS.some(member => member in error) ||
    (typeof code === 'string' && DRIVER_CODE.test(code)) ||
    DRIVER_NAME.test(getType(error) ?? '') ||
    DRIVER_CLASS.test(error.constructor?.name ?? '')
}

/**
 * Returns an error that logs may contain: the same one, or a copy without its message.
 *
 * The copy has the type, the code and the frames of the stack. Loggers print the messages of all
 * causes, so that a cause becomes a copy too. A system error of Node.js keeps its message.
 *
 * @param isOwn - Whether the app or this package has written the message. The messages of drivers,
 * and messages with a password hash or a token, are removed in any case.
 */
export function toSafeError (error: unknown, isOwn: boolean): Error {
  const keepsMessage = error instanceof SafeError ||
    (isOwn && !isDriverError(error) && !hasSecret(error))

  if (keepsMessage && error instanceof Error) {
    return error
  }

  return isOwn && typeof error === 'string' && !SECRET.test(error)
    ? new SafeError(error)
    : redact(error, 0)
}

/** Returns the facts of an error for a log line. See {@link toSafeError}. */
export function describeError (error: unknown, isOwn: boolean): ErrorFacts {
  return toFacts(toSafeError(error, isOwn), 0)
}

function hasSecret (error: unknown): boolean {
  return searchErrors(
    error,
    each => SECRET.test(String((each as { readonly message?: unknown }).message))
  )
}

// Loggers and consoles also print the members of an error, such as the `errors` of an
// `AggregateError` and the `originalError` of a library.
function searchErrors (error: unknown, isFound: (error: object) => boolean): boolean {
  const found = new Set(typeof error === 'object' && error !== null ? [error] : [])

  for (const each of found) {
    if (found.size > MAX_SEARCHED || isFound(each)) {
      return true
    }

    const members = Object.values(Object.getOwnPropertyDescriptors(each))
      .flatMap(({ value }: PropertyDescriptor): unknown => value)

    for (const member of members) {
      if (member instanceof Error) {
        found.add(member)
      }
    }
  }

  return false
}

/** Returns an error and its causes, at most 5 errors. */
export function getChain (error: unknown): object[] {
  const chain: object[] = []

  for (
    let each = error;
    typeof each === 'object' && each !== null && chain.length <= MAX_DEPTH;
    each = (each as { readonly cause?: unknown }).cause
  ) {
    chain.push(each)
  }

  return chain
}

function toFacts (error: Error, depth: number): ErrorFacts {
  const type = getType(error)
  const code = getCode(error)
  const { message, cause } = error
  const stack = error instanceof SafeError ? '' : getFrames(error)

  return {
    ...type !== undefined && { type },
    ...code !== undefined && { code },
    ...typeof message === 'string' && message !== '' && { message },
    ...stack !== '' && { stack },
    ...cause instanceof Error && depth < MAX_DEPTH && { cause: toFacts(cause, depth + 1) }
  }
}

function redact (error: unknown, depth: number): Error {
  const given = typeof error === 'object' && error !== null ? error : {}
  const { cause } = given as { readonly cause?: unknown }
  const hasCause = typeof cause === 'object' && cause !== null && depth < MAX_DEPTH
  const safe = new Error(
    isSystemError(given) ? given.message : '',
    hasCause ? { cause: redact(cause, depth + 1) } : {}
  )
  const name = getType(given) ?? 'Error'
  const code = getCode(given)
  Object.defineProperty(safe, 'name', { value: name, configurable: true })
  safe.stack = [`${name}${safe.message && `: ${safe.message}`}`, getFrames(given)]
    .filter(Boolean).join('\n')
  return code === undefined ? safe : Object.assign(safe, { code })
}

// Errors of Node.js such as "connect ECONNREFUSED 127.0.0.1:5432". They name no values.
function isSystemError (error: object): error is { readonly message: string } {
  const { syscall, code, message } = error as Record<string, unknown>

  return typeof syscall === 'string' && typeof code === 'string' && IDENTIFIER.test(code) &&
    typeof message === 'string' && message.length < 300 &&
    message.startsWith(`${syscall} ${code}`)
}

function getType (error: object): string | undefined {
  const { name } = error as { readonly name?: unknown }
  const names = [name, error.constructor?.name]
    .filter((each): each is string => typeof each === 'string' && IDENTIFIER.test(each))

  // The name in pg is "error", and a class without a name of its own inherits "Error".
  return names.find(each => !/^(?:error|object)$/i.test(each)) ??
    (error instanceof Error ? 'Error' : undefined)
}

function getCode (error: object): string | number | undefined {
  const { code } = error as { readonly code?: unknown }
  const isCode = Number.isSafeInteger(code) || (typeof code === 'string' && IDENTIFIER.test(code))
  return isCode ? code as string | number : undefined
}

// A message may have several lines, which may look like frames. So only the lines that follow the
// message count, and only the last ones if the stack does not contain it.
function getFrames (error: object): string {
  const { stack, message } = error as { readonly stack?: unknown, readonly message?: unknown }

  if (typeof stack !== 'string') {
    return ''
  }

  const lines = getTextAfter(stack, message).split('\n')
  const firstFrame = lines.findLastIndex(line => !FRAME.test(line)) + 1
  return lines.slice(firstFrame, firstFrame + MAX_FRAMES).join('\n')
}

/** Returns the rest of a stack after its message, or the whole stack without this message. */
function getTextAfter (stack: string, message: unknown): string {
  const start = typeof message === 'string' ? stack.indexOf(message) : -1
  return start === -1 ? stack : stack.slice(start + String(message).length)
}
