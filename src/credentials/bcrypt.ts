// Hashes from before this package, by the optional @node-rs/bcrypt, which is loaded when the first of them is met.

interface Bcrypt {
  verify (password: string, hash: string): Promise<boolean>
}

// 2 ** 14 rounds take a core for a second; a planted hash must not take the server down.
const form = /^\$2[aby]?\$(0[4-9]|1[0-4])\$[./A-Za-z\d]{53}$/
const PACKAGE = '@node-rs/bcrypt'

export function isBcrypt (stored: unknown): stored is string {
  return typeof stored === 'string' && form.test(stored)
}

/** @returns `null` where the hash cannot be checked: the package is not installed, say. */
export async function verifyBcrypt (stored: string, password: string): Promise<boolean | null> {
  try {
    // By a name that the compiler does not follow: nobody needs the package's types.
    const bcrypt = await import(PACKAGE as string) as Bcrypt
    return await bcrypt.verify(password, stored)
  } catch {
    return null
  }
}
