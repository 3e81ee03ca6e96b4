import { describeType } from './describe-type.js'
import { createTypeError } from './type-error.js'

/**
 * Returns a result of a callback that must be a boolean.
 *
 * @param name - Path of the option.
 * @throws TypeError if the result is something else, such as a promise or a forgotten `return`.
 */
export function assertBoolean (name: string, result: unknown): boolean {
  if (typeof result !== 'boolean') {
    ignoreRejection(result)
    throw createTypeError(`"${name}" must return a boolean, not ${describeType(result)}`)
  }

  return result
}

/**
 * Handles the rejection of a promise that a synchronous callback returned.
 *
 * Without a handler, the rejection would end the process.
 */
export function ignoreRejection (result: unknown): void {
  if (result instanceof Promise) {
    result.catch(() => {})
  }
}
