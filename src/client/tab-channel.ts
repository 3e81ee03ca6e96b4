// A line to the other tabs. Messages of browsers reach the same origin only.

import type { ChannelLike, Platform } from './platform.js'

export interface TabChannel {
  tell (message: object): void
  close (): void
}

/**
 * Where there are no channels, or they are broken, or somebody else speaks on this one, nobody is told, and nothing is heard.
 *
 * @param name The same in all tabs; `null` where they share nothing.
 * @param hear Given whatever was told. What it throws is ignored.
 */
export function openTabChannel <Message> (
  { openChannel }: Platform, name: string | null, hear: (message: Message) => void
): TabChannel {
  let channel: ChannelLike
  const attempt = (act: () => void): void => { try { act() } catch {} }
  attempt(() => {
    if (!name) return
    channel = openChannel?.(name) as ChannelLike
    channel.onmessage = ({ data }) => { attempt(() => hear(data as Message)) }
  })
  return {
    tell (message) { attempt(() => channel.postMessage(message)) },
    close () { attempt(() => channel.close()) }
  }
}
