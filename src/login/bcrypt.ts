import { BCRYPT_COSTS } from './hash-costs.js'

interface Bcrypt {
  verify(password: string, hash: string): Promise<boolean>
}

const FORMAT = /^\$2[aby]\$(\d\d)\$[./A-Za-z\d]{53}$/
const PACKAGE = '@node-rs/bcrypt'

/** Number of bytes that bcrypt reads, with the NUL at the end of a shorter password. */
const MAX_BYTES = 72

/** Whether a stored value is a bcrypt hash of an acceptable cost. */
export function isBcrypt (stored: unknown): stored is string {
  const [, cost] = typeof stored === 'string' ? FORMAT.exec(stored) ?? [] : []
  return cost !== undefined && Number(cost) >= BCRYPT_COSTS.min && Number(cost) <= BCRYPT_COSTS.max
}

/** Returns the cost of a bcrypt hash. Verifying it takes 2 to the power of the cost in rounds. */
export function getBcryptCost (stored: string): number {
  return Number(stored.slice(4, 6))
}

/** Creates a hash of the given cost that no password matches. */
export function createDummyBcrypt (cost: number): string {
  return `$2b$${String(cost).padStart(2, '0')}$${'N9qo8uLOickgx2ZMRZoMye'}${'.'.repeat(31)}`
}

/**
 * Whether bcrypt distinguishes a password from all others.
 *
 * bcrypt ignores what follows after 72 bytes, and repeats a shorter password with a NUL after it.
 * So other passwords may match the same hash if this one fills 72 bytes or contains a NUL.
 */
export function isReadWhole (password: string): boolean {
  return Buffer.byteLength(password) < MAX_BYTES && !password.includes('\0')
}

/**
 * Verifies a password against a bcrypt hash. The first call loads the optional `@node-rs/bcrypt`.
 *
 * @returns `null` if the package cannot be loaded.
 */
export async function verifyBcrypt (stored: string, password: string): Promise<boolean | null> {
  // A widened specifier keeps the compiler from resolving the types of an optional package.
  const bcrypt = await (import(PACKAGE as string) as Promise<Bcrypt>).catch(() => null)
  return bcrypt === null ? null : bcrypt.verify(password, stored)
}
