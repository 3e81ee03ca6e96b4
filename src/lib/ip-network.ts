/** Number of leading zero groups in an IPv4-mapped IPv6 address; the next group is `ffff`. */
const MAPPED_ZERO_GROUPS = 5

/**
 * Returns the network that one customer of an internet provider usually has.
 *
 * An IPv4 address is its own network. An IPv6 address belongs to its first 64 bits, because its
 * owner chooses the other 64 freely. All spellings of an address give the same result, and an
 * IPv4-mapped IPv6 address gives the IPv4 address.
 *
 * @returns A string such as `192.0.2.1` or `2001:db8:0:7::/64`. Returns a value that is not an IP
 * address in lower case.
 */
export function getNetwork (address: string): string {
  const [unscoped = ''] = address.toLowerCase().split('%')

  if (!unscoped.includes(':')) {
    return unscoped
  }

  const groups = parseIpv6(unscoped)

  if (groups === null) {
    return unscoped
  }

  const isMapped = groups.slice(0, MAPPED_ZERO_GROUPS).every(group => group === 0) &&
    groups[MAPPED_ZERO_GROUPS] === 0xffff

  if (isMapped) {
    return groups.slice(MAPPED_ZERO_GROUPS + 1).flatMap(group => [group >> 8, group & 0xff])
      .join('.')
  }

  return `${groups.slice(0, 4).map(group => group.toString(16)).join(':')}::/64`
}

/** Returns the eight groups of an IPv6 address (RFC 4291, section 2.2); `null` if malformed. */
function parseIpv6 (address: string): number[] | null {
  const [head = '', tail, ...rest] = address.split('::')

  if (rest.length > 0) {
    return null
  }

  const left = parseGroups(head)
  const right = tail === undefined ? [] : parseGroups(tail)
  const missing = 8 - left.length - right.length

  if (tail === undefined ? missing !== 0 : missing < 1) {
    return null
  }

  const groups = [...left, ...Array.from({ length: missing }, () => 0), ...right]
  return groups.every(group => group >= 0 && group <= 0xffff) ? groups : null
}

/** A malformed group becomes `NaN`. */
function parseGroups (groups: string): number[] {
  if (groups === '') {
    return []
  }

  return groups.split(':').flatMap(group => {
    if (group.includes('.')) {
      const bytes = group.split('.').map(Number)
      const [a = NaN, b = NaN, c = NaN, d = NaN] = bytes
      return bytes.length === 4 ? [a * 256 + b, c * 256 + d] : [NaN]
    }

    return [/^[\da-f]{1,4}$/.test(group) ? parseInt(group, 16) : NaN]
  })
}
