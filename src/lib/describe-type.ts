const CLASS_NAME = /^[A-Za-z_]\w{0,63}$/

/**
 * Names the type of a value for an error, with an article: `a string`, `an array`, `an ObjectId`.
 *
 * The value itself is never part of the result.
 */
export function describeType (value: unknown): string {
  if (value === null || value === undefined) {
    return String(value)
  }

  if (Array.isArray(value)) {
    return 'an array'
  }

  if (typeof value !== 'object') {
    return `a ${typeof value}`
  }

  const { name } = value.constructor ?? {}
  const isClass = typeof name === 'string' && name !== 'Object' && CLASS_NAME.test(name)
  return isClass ? `${/^[AEIOU]/i.test(name) ? 'an' : 'a'} ${name}` : 'an object'
}
