import { createRequire } from 'node:module'

type Argon2 = typeof import('@node-rs/argon2')

const FULL_COST = '$m=19456,t=2,p=1$'
const LOWEST_COST = '$m=8,t=1,p=1$'

// A CommonJS module is a mutable object until its first `import`.
const argon2 = createRequire(import.meta.url)('@node-rs/argon2') as {
  -readonly [Name in keyof Argon2]: Argon2[Name]
}
const { hash, verify } = argon2
let isCheap = true

/**
 * Makes argon2 cost what it costs in production, for tests that measure time.
 *
 * Importing this file makes argon2 cheap, because many tests check hundreds of passwords. Each hash
 * still states its usual cost, so the plugin treats it as usual.
 */
export function useFullCost (): void {
  isCheap = false
}

/** Password checks that a test has stopped. */
export interface HeldChecks {
  /** Number of checks that have started. */
  readonly started: () => number
  /** Ends all checks, including those that start later. */
  release(): void
}

let held: Promise<void> | null = null
let startedChecks = 0

/** Stops all password checks that start from now on, so that a test can act meanwhile. */
export function holdChecks (): HeldChecks {
  let resolve = (): void => {}

  const before = startedChecks
  held = new Promise(_resolve => {
    resolve = _resolve
  })

  return {
    started: () => startedChecks - before,
    release () {
      held = null
      resolve()
    }
  }
}

argon2.hash = async (password, options, signal) => {
  if (!isCheap) {
    return hash(password, options, signal)
  }

  const { memoryCost = 19456, timeCost = 2 } = options ?? {}
  const cheap = await hash(password, { ...options, memoryCost: 8, timeCost: 1 }, signal)
  return cheap.replace(LOWEST_COST, `$m=${memoryCost},t=${timeCost},p=1$`)
}

argon2.verify = async (stored, password, options, signal) => {
  startedChecks++
  await held
  const isFull = typeof stored === 'string' && stored.includes(FULL_COST)

  return isCheap && isFull
    ? verify(stored.replace(FULL_COST, LOWEST_COST), password, options, signal)
    : verify(stored, password, options, signal)
}
