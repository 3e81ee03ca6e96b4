// Which network an address belongs to, as far as one customer has one: an IPv4 address, or the first 64 bits of an IPv6 address,
// whose other half its owner picks at will.

const V4_IN_V6 = 5

/**
 * One text for all addresses of a network, however they are written: `192.0.2.1`, `2001:db8:0:7::/64`. What is no address is
 * its own network.
 */
export function getNetwork (address: string): string {
  const [text = ''] = address.toLowerCase().split('%')

  if (!text.includes(':')) {
    return text
  }

  const groups = groupsOf(text)

  if (groups === null) {
    return text
  }

  const isV4 = groups.slice(0, V4_IN_V6).every(group => group === 0) && groups[V4_IN_V6] === 0xffff

  if (isV4) {
    return groups.slice(V4_IN_V6 + 1).flatMap(group => [group >> 8, group & 0xff]).join('.')
  }

  return `${groups.slice(0, 4).map(group => group.toString(16)).join(':')}::/64`
}

// The eight groups of an IPv6 address (RFC 4291 section 2.2).
function groupsOf (text: string): number[] | null {
  const [head = '', tail, ...others] = text.split('::')

  if (others.length > 0) {
    return null
  }

  const left = parse(head)
  const right = tail === undefined ? [] : parse(tail)
  const missing = 8 - left.length - right.length

  if (tail === undefined ? missing !== 0 : missing < 1) {
    return null
  }

  const groups = [...left, ...Array.from({ length: missing }, () => 0), ...right]
  return groups.every(group => group >= 0 && group <= 0xffff) ? groups : null
}

function parse (text: string): number[] {
  if (text === '') {
    return []
  }

  return text.split(':').flatMap(part => {
    if (part.includes('.')) {
      const bytes = part.split('.').map(Number)
      const [a = NaN, b = NaN, c = NaN, d = NaN] = bytes
      return bytes.length === 4 ? [a * 256 + b, c * 256 + d] : [NaN]
    }

    return [/^[\da-f]{1,4}$/.test(part) ? parseInt(part, 16) : NaN]
  })
}
