import { isIP } from 'node:net'
import type { SessionEvent, TokenAuthListeners, TokenUse } from 'fastify-token-auth'

/** Options of {@link notifyUser}. */
export interface NotifyOptions {
  /** Name of the app, as its users know it. */
  readonly appName: string
  /**
   * Pages of the app that the mails link: the list of devices, and the change of the password.
   *
   * The same links go to all users. The page for passwords must help users who lost theirs.
   */
  readonly links: { readonly devices: string, readonly password: string }
  /** Returns the mail address of a user, or `null` if the user gets no mails. */
  readonly getMailAddress: (
    userId: string
  ) => Promise<string | null | undefined> | string | null | undefined
  /** Adds a mail to a queue that retries. A mail whose `send` throws is logged and lost. */
  readonly send: (to: string, subject: string, body: string) => unknown
  /**
   * Known devices and sent mails. Use a shared one for several instances.
   *
   * @default a set in memory, which a restart empties
   */
  readonly seen?: ExpiringSet
  /** Returns the current time. @default Date.now */
  readonly clock?: () => number
}

/** A set of strings that expire. */
export interface ExpiringSet {
  /**
   * Adds a string, unless it is a member. Redis: `SET key 1 NX PX ttl`.
   *
   * @param ttl Milliseconds after which the string expires.
   * @returns Whether the string was added.
   */
  add(key: string, ttl: number): Promise<boolean> | boolean
}

interface Mail {
  readonly subject: string
  readonly lines: readonly string[]
}

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const YEAR = 365 * DAY
const MAX_MEMBERS = 100_000

/**
 * Creates listeners for the option `on` that write to users about risks for their accounts.
 *
 * The mails are plain text. They contain no token, and no string that an attacker chose. The plugin
 * does not wait for listeners, so that the time of a response does not tell whether there was a
 * mail.
 *
 * @throws TypeError if a link is not https, or has a query, a fragment or a password.
 */
export function notifyUser (options: NotifyOptions): TokenAuthListeners {
  const { appName, links, getMailAddress, send, clock = Date.now } = options
  const { seen = new MemorySet(clock) } = options

  for (const link of Object.values(links)) {
    assertPublicLink(link)
  }

  const advice = [
    '',
    `Change your password: ${links.password}`,
    `Check your devices: ${links.devices}`
  ]

  async function sendMail (userId: string, { subject, lines }: Mail): Promise<void> {
    const address = await getMailAddress(userId)

    if (address == null) {
      return
    }

    await send(address, subject, ['Hello,', '', ...lines, ...advice, '', appName, ''].join('\n'))
  }

  // An attacker who copied one session may have copied all, so that one mail covers them. A session
  // whose tokens are replayed again and again causes one mail per day.
  const isNewTheft = async ({ sessionId, userId }: SessionEvent): Promise<boolean> =>
    await seen.add(`copied-session:${sessionId}`, DAY) &&
    await seen.add(`copied:${userId}`, HOUR)

  return {
    async reuse (event) {
      if (await isNewTheft(event)) {
        const hint = 'A restored backup causes this too: sign in again.'
        await sendMail(event.userId, createTheftMail(appName, event, true, hint))
      }
    },

    async 'suspicious-replay' (event) {
      if (await isNewTheft(event)) {
        const hint = 'Then you need to do nothing.'
        await sendMail(event.userId, createTheftMail(appName, event, event.revoked, hint))
      }
    },

    async login ({ userId, at, address, userAgent }) {
      const device = `${getProgram(userAgent)}:${getNetworkPrefix(address)}`
      const isNewUser = await seen.add(`user:${userId}`, 10 * YEAR)
      const isNewDevice = await seen.add(`device:${userId}:${device}`, YEAR)

      if (isNewUser || !isNewDevice) {
        return
      }

      await sendMail(userId, {
        subject: `New sign-in to ${appName}`,
        lines: [
          `A device signed in to your ${appName} account. The device or its place is new to us:`,
          '',
          formatUse(at, { address, userAgent }),
          '',
          'Was it you? Then you need to do nothing. If not, another person knows your password:'
        ]
      })
    },

    async 'login-throttled' ({ userId, limit, at, until, address, userAgent }) {
      if (
        limit !== 'account' || userId === null || !await seen.add(`throttled:${userId}`, HOUR)
      ) {
        return
      }

      await sendMail(userId, {
        subject: `Too many wrong passwords for ${appName}`,
        lines: [
          `There were many attempts to sign in to your ${appName} account with a wrong password.`,
          'This was one of them:',
          '',
          formatUse(at, { address, userAgent }),
          '',
          'None of them succeeded. Until the following time, only devices that you used before',
          `can sign in: ${formatTime(until)}. We send this mail at most once per hour.`,
          '',
          'Was it you? Then wait, or set a new password. If not, a long password that you use',
          'nowhere else is safe:'
        ]
      })
    },

    async 'session-ended' ({ reason, userId, at, local, keep }) {
      if (
        // Every instance emits the event. The one that made the change writes the mail.
        !local || reason !== 'password-changed' || userId === null ||
        // An app may report one change twice.
        !await seen.add(`password:${userId}`, MINUTE)
      ) {
        return
      }

      const devices = keep === undefined ? 'all devices' : 'all other devices'
      await sendMail(userId, {
        subject: `Your password for ${appName} was changed`,
        lines: [
          `The password of your ${appName} account was changed on ${formatTime(at)}.`,
          `This signed out ${devices}.`,
          '',
          'Was it you? Then you need to do nothing. If not, set a new password now:'
        ]
      })
    }
  }
}

type TheftEvent = SessionEvent & Record<'presented' | 'rotated', TokenUse>

/** Describes both sides in the order of time, because nobody can tell which one is the attacker. */
function createTheftMail (
  appName: string,
  { sessionId, presented, rotated }: TheftEvent,
  isRevoked: boolean,
  hint: string
): Mail {
  const uses = [presented, rotated].sort((one, other) => one.at - other.at)
  const generations = uses.map(({ generation }) => generation).join(' and ')

  return {
    subject: `One sign-in to ${appName}, used in two places`,
    lines: [
      `One sign-in to your ${appName} account was used in two places:`,
      '',
      ...uses.map(use => formatUse(use.at, use)),
      '',
      'Another person may have a copy of it. We cannot tell which of the two is you.',
      isRevoked
        ? 'We signed out both. Your other devices stay signed in.'
        : 'This sign-in is still active. You can sign it out on the page of your devices.',
      '',
      `For our support: session ${sessionId}, generations ${generations}.`,
      '',
      `Do you know both places? ${hint} If not:`
    ]
  }
}

function formatUse (
  at: number,
  { address, userAgent }: Pick<SessionEvent, 'address' | 'userAgent'>
): string {
  return `  ${formatTime(at)}: ${getProgram(userAgent)}, ${formatAddress(address)}`
}

function formatTime (at: number): string {
  const day = new Date(at).toLocaleDateString('en-GB', {
    day: 'numeric',
    month: 'long',
    year: 'numeric',
    timeZone: 'UTC'
  })
  return `${day}, ${new Date(at).toISOString().slice(11, 16)} UTC`
}

// The first match counts, because browsers name each other in their user agents. Add your own apps.
const browsers = [
  ['Edg', 'Edge'],
  ['OPR/', 'Opera'],
  ['SamsungBrowser', 'Samsung Internet'],
  ['Firefox', 'Firefox'],
  ['FxiOS', 'Firefox'],
  ['Chrome', 'Chrome'],
  ['CriOS', 'Chrome'],
  ['Safari', 'Safari']
] as const
const systems = [
  ['iPhone', 'an iPhone'],
  ['iPad', 'an iPad'],
  ['Android', 'Android'],
  ['Windows', 'Windows'],
  ['Mac OS', 'a Mac'],
  ['Linux', 'Linux']
] as const

/** Returns a name from the lists above. An attacker could write a message in a user agent. */
function getProgram (userAgent: string | null): string {
  const [, browser = 'another program'] = browsers.find(([mark]) => userAgent?.includes(mark)) ?? []
  const [, system] = systems.find(([mark]) => userAgent?.includes(mark)) ?? []
  return system === undefined ? browser : `${browser} on ${system}`
}

function formatAddress (address: string | null): string {
  return address !== null && isIP(address) !== 0
    ? address.replace(/%.*/, '')
    : 'an unknown address'
}

/** Returns the first half of a network, because phones change the rest of their address often. */
function getNetworkPrefix (address: string | null): string {
  const plain = formatAddress(address).replace(/^::ffff:/i, '')
  return plain.split(plain.includes(':') ? ':' : '.').slice(0, 2).join('.')
}

function assertPublicLink (link: string): void {
  const { protocol, username, password, search, hash } = new URL(link)

  if (protocol !== 'https:' || username + password + search + hash !== '') {
    throw new TypeError(
      '"links" must be https URLs without query, fragment and password; ' +
        'a link with a token would sign in every reader of the mail'
    )
  }
}

class MemorySet implements ExpiringSet {
  readonly #expiryTimes = new Map<string, number>()
  readonly #clock: () => number

  constructor (clock: () => number) {
    this.#clock = clock
  }

  add (key: string, ttl: number): boolean {
    const now = this.#clock()

    if ((this.#expiryTimes.get(key) ?? 0) > now) {
      return false
    }

    this.#expiryTimes.delete(key)
    this.#expiryTimes.set(key, now + ttl)
    const [oldest] = this.#expiryTimes.keys()

    if (this.#expiryTimes.size > MAX_MEMBERS && oldest !== undefined) {
      this.#expiryTimes.delete(oldest)
    }

    return true
  }
}
