/** Sorts the attributes of a `Set-Cookie` header, because their order has no meaning. */
export function sortCookieAttributes (header: string): string {
  const [pair, ...attributes] = header.split('; ')
  return [pair, ...attributes.sort()].join('; ')
}
