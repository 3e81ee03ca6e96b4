interface Bcrypt {
  verify(password: string, hash: string): Promise<boolean>
}

// A cost of 14 takes about one second. A higher one could be planted to overload the server.
const BCRYPT_FORMAT = /^\$2[aby]\$(0[4-9]|1[0-4])\$[./A-Za-z\d]{53}$/
const PACKAGE = '@node-rs/bcrypt'

/** Whether a stored value is a bcrypt hash of an acceptable cost. */
export function isBcrypt (stored: unknown): stored is string {
  return typeof stored === 'string' && BCRYPT_FORMAT.test(stored)
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
 * Verifies a password against a bcrypt hash. The first call loads the optional `@node-rs/bcrypt`.
 *
 * @returns `null` if the package cannot be loaded.
 */
export async function verifyBcrypt (stored: string, password: string): Promise<boolean | null> {
  // A widened specifier keeps the compiler from resolving the types of an optional package.
  const bcrypt = await (import(PACKAGE as string) as Promise<Bcrypt>).catch(() => null)
  return bcrypt === null ? null : bcrypt.verify(password, stored)
}
