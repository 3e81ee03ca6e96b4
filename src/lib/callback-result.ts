import { describeType } from './describe-type.js'

/**
 * Returns a result of a callback that must be a boolean.
 *
 * @param name - Path of the option.
 * @throws TypeError if the result is something else, such as a promise or a forgotten `return`.
 */
export function assertBoolean (name: string, result: unknown): boolean {
  if (typeof result !== 'boolean') {
    throw new TypeError(`"${name}" must return a boolean, not ${describeType(result)}`)
  }

  return result
}
