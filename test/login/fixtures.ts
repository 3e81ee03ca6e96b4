import { HashQueue, requestForApp } from '../../src/login/hash-queue.js'
import { Passwords } from '../../src/login/passwords.js'
import type { PasswordResult, PasswordRules } from '../../src/login/passwords.js'

const rules: PasswordRules = {
  peppers: [],
  normalize: null,
  minLength: 1,
  validate: () => true,
  storedHashes: []
}

/** Passwords whose hashes do not compete with others. */
export interface TestPasswords {
  hash(password: string): Promise<string>
  upgrade(password: string): Promise<string>
  check(stored: string | null, password: string): Promise<PasswordResult>
}

export function createPasswords (given: Partial<PasswordRules> = {}): TestPasswords {
  const passwords = new Passwords(new HashQueue({ places: 2 }), { ...rules, ...given })
  const request = requestForApp()

  return {
    hash: password => passwords.hash(password, request),
    upgrade: password => passwords.upgrade(password, request),
    check: (stored, password) => passwords.check(stored, password, request)
  }
}
