// Headers that are lists, to which the app or another plugin may have contributed already.

import type { FastifyReply } from 'fastify'

/** Adds a member to a header such as `Vary`, unless it is there. */
export function addToHeader (reply: FastifyReply, header: string, member: string): void {
  const there = reply.getHeader(header)
  const members = (Array.isArray(there) ? there : [there ?? []]).flat().flatMap(text => String(text).split(',')).map(text => text.trim())
  if (members.some(text => text.toLowerCase() === member.toLowerCase())) return
  reply.header(header, [...members, member].join(', '))
}
