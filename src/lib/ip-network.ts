import { isIPv4 } from 'node:net'

/** Number of leading zero groups in an IPv4-mapped IPv6 address; the next group is `ffff`. */
const MAPPED_ZERO_GROUPS = 5

/** `[IPv6]`, `[IPv6]:port` or `IPv4:port`, as proxies write them into `X-Forwarded-For`. */
const WITH_PORT = /^\[([^\]]*)\](?::\d+)?$|^([\d.]+):\d+$/

/**
 * Returns the usual spelling of an IP address.
 *
 * Removes a port, brackets and the zone. An IPv4-mapped IPv6 address becomes the IPv4 address.
 * Other IPv6 addresses are compressed (RFC 5952), so all spellings give the same result.
 *
 * @returns The address. Returns a value that is not an IP address unchanged.
 */
export function normalizeAddress (text: string): string {
  const parsed = parseAddress(text)
  return typeof parsed === 'string' ? parsed : formatIpv6(parsed)
}

/**
 * Returns the network that one customer of an internet provider usually has.
 *
 * An IPv4 address is its own network. The network of an IPv6 address is its first 64 bits, because
 * the customer chooses the other 64 freely. All spellings of an address give the same result.
 *
 * @returns A string such as `192.0.2.1` or `2001:db8:0:7::/64`. Returns a value that is not an IP
 * address in lower case.
 */
export function getNetwork (address: string): string {
  const parsed = parseAddress(address)
  return typeof parsed === 'string' ? parsed.toLowerCase() : formatPrefix(parsed, 4)
}

/**
 * Returns the network that one organization usually has: an IPv4 /24 or an IPv6 /48.
 *
 * @returns A string such as `192.0.2.0/24` or `2001:db8:0::/48`. Returns a value that is not an IP
 * address in lower case.
 */
export function getSite (address: string): string {
  const parsed = parseAddress(address)

  if (typeof parsed !== 'string') {
    return formatPrefix(parsed, 3)
  }

  return isIPv4(parsed)
    ? `${parsed.slice(0, parsed.lastIndexOf('.'))}.0/24`
    : parsed.toLowerCase()
}

/** Returns the groups of an IPv6 address. Any other value is a string without a port. */
function parseAddress (text: string): string | number[] {
  // Most addresses are IPv4 without a port.
  if (!text.includes(':')) {
    return text
  }

  const [, bracketed, ipv4] = WITH_PORT.exec(text) ?? []

  if (ipv4 !== undefined) {
    return ipv4
  }

  const groups = parseIpv6(bracketed ?? text)
  return groups === null ? text : toIpv4(groups) ?? groups
}

/** Returns the IPv4 address of an IPv4-mapped IPv6 address, or `null`. */
function toIpv4 (groups: readonly number[]): string | null {
  const isMapped = groups.slice(0, MAPPED_ZERO_GROUPS).every(group => group === 0) &&
    groups[MAPPED_ZERO_GROUPS] === 0xffff

  return isMapped
    ? groups.slice(MAPPED_ZERO_GROUPS + 1).flatMap(group => [group >> 8, group & 0xff]).join('.')
    : null
}

function formatIpv6 (groups: readonly number[]): string {
  const { hostname } = new URL(`http://[${groups.map(formatGroup).join(':')}]`)
  return hostname.slice(1, -1)
}

function formatPrefix (groups: readonly number[], count: number): string {
  return `${groups.slice(0, count).map(formatGroup).join(':')}::/${count * 16}`
}

function formatGroup (group: number): string {
  return group.toString(16)
}

/** Returns the eight groups of an IPv6 address (RFC 4291, section 2.2); `null` if malformed. */
function parseIpv6 (address: string): number[] | null {
  const [unscoped = ''] = address.toLowerCase().split('%')
  const [head = '', tail, ...rest] = unscoped.split('::')

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
