// Hashes from before this package, by the optional @node-rs/bcrypt, which is loaded when the first of them is met.

interface Bcrypt {
  verify(password: string, hash: string): Promise<boolean>
}

// 2 ** 14 rounds take a core for a second; a planted hash must not take the server down.
const form = /^\$2[aby]\$(0[4-9]|1[0-4])\$[./A-Za-z\d]{53}$/
const PACKAGE = '@node-rs/bcrypt'

/** */
export function isBcrypt (stored: unknown): stored is string {
  return typeof stored === 'string' && form.test(stored)
}

/** What a hash costs to check: two to the power of it. */
export function bcryptCostOf (stored: string): number {
  return Number(stored.slice(4, 6))
}

/** The hash of no password, at a cost. */
export function dummyBcrypt (cost: number): string {
  return `$2b$${String(cost).padStart(2, '0')}$${'N9qo8uLOickgx2ZMRZoMye'}${'.'.repeat(31)}`
}

/** @returns `null` where the package cannot be loaded. */
export async function verifyBcrypt (stored: string, password: string): Promise<boolean | null> {
  // By a name that the compiler does not follow: nobody needs the package's types.
  const bcrypt = await (import(PACKAGE as string) as Promise<Bcrypt>).catch(() => null)
  return bcrypt === null ? null : bcrypt.verify(password, stored)
}
