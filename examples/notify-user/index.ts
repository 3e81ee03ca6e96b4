// What a user should hear of, as plain text mails for the app's own `send`. They say what was seen and what to do; not who the
// thief is, since nobody can tell. No token is in them, and no word that a stranger chose: a user agent may be one.

import { isIP } from 'node:net'
import type { SessionEvent, TokenAuthListeners, TokenUse } from 'fastify-token-auth'

type Caller = Pick<SessionEvent, 'address' | 'userAgent'>

export interface TellOptions {
  /** What users call the app. */
  readonly appName: string
  /** Pages of yours behind a login; the one for passwords also helps those who lost theirs. They are the same for everybody. */
  readonly links: { readonly devices: string, readonly password: string }
  /** Where a user reads mail; nothing for one who does not. */
  readonly mailAddressOf: (
    userId: string
  ) => Promise<string | null | undefined> | string | null | undefined
  /** Should put it into a queue that tries again: what fails here is logged and lost. */
  readonly send: (to: string, subject: string, text: string) => unknown
  /** Where more than one instance runs, or restarts should not be felt: a table, or Redis. @default in memory */
  readonly notes?: Notes
  readonly clock?: () => number
}

export interface Notes {
  /** Notes a key for that many milliseconds, unless it is noted. @returns Whether it was not. Redis: `SET key 1 NX PX ms`. */
  isFirst(key: string, keep: number): Promise<boolean> | boolean
}

interface Mail {
  readonly subject: string
  readonly lines: readonly string[]
}

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const YEAR = 365 * DAY

/** For the option `on` of the plugin. A listener is not waited for: no answer tells, by its time, whether there was a mail. */
export function tellTheUser (options: TellOptions): TokenAuthListeners {
  const { appName, links, mailAddressOf, send, clock = Date.now, notes = new MemoryNotes(clock) } =
    options

  for (const link of Object.values(links)) {
    refuseSecrets(link)
  }

  const advice = [
    '',
    `Change your password: ${links.password}`,
    `Look through your devices: ${links.devices}`
  ]

  async function tell (userId: string, { subject, lines }: Mail): Promise<void> {
    const to = await mailAddressOf(userId)

    if (to == null) {
      return
    }

    await send(to, subject, ['Hello,', '', ...lines, ...advice, '', appName, ''].join('\n'))
  }

  // Whoever copies one sign-in may have copied all: one mail for them, and one a day for each that is followed on and on.
  const isNewTheft = async ({ sessionId, userId }: SessionEvent): Promise<boolean> =>
    await notes.isFirst(`copied-session:${sessionId}`, DAY) &&
    await notes.isFirst(`copied:${userId}`, HOUR)

  return {
    async reuse (event) {
      if (await isNewTheft(event)) {
        await tell(
          event.userId,
          inTwoPlaces(appName, event, true, 'A restored backup does this too: just sign in again.')
        )
      }
    },

    async 'suspicious-replay' (event) {
      if (await isNewTheft(event)) {
        await tell(event.userId, inTwoPlaces(appName, event, event.revoked, 'Then all is well.'))
      }
    },

    async login ({ userId, at, address, userAgent }) {
      const isNewUser = await notes.isFirst(`user:${userId}`, 10 * YEAR)
      const isNewDevice = await notes.isFirst(
        `device:${userId}:${programOf(userAgent)}:${networkOf(address)}`,
        YEAR
      )

      if (isNewUser || !isNewDevice) {
        return
      }

      await tell(userId, {
        subject: `A new sign-in to ${appName}`,
        lines: [
          `Somebody has signed in to your ${appName} account, from a device or a place that is new to us:`,
          '',
          placed(at, { address, userAgent }),
          '',
          'Was it you? Then there is nothing to do. If not, somebody has your password:'
        ]
      })
    },

    async 'login-throttled' ({ userId, limit, at, until, address, userAgent }) {
      if (
        limit !== 'account' || userId === null || !await notes.isFirst(`throttled:${userId}`, HOUR)
      ) {
        return
      }

      await tell(userId, {
        subject: `Too many wrong passwords at ${appName}`,
        lines: [
          `Somebody has tried to sign in to your ${appName} account with wrong passwords, many times. This was one of the tries:`,
          '',
          placed(at, { address, userAgent }),
          '',
          `They did not get in. We let nobody try before ${
            timeOf(until)
          }, but for devices that you have used before.`,
          'We write this once an hour at most, however often they try.',
          '',
          'Was it you? Then wait a little, or set a new password. If not, and yours is long and used nowhere else, there is nothing to do:'
        ]
      })
    },

    async revoke ({ reason, userId, at, count }) {
      // A minute, since an app may tell twice of one change.
      if (
        reason !== 'password-changed' || userId === null ||
        !await notes.isFirst(`password:${userId}`, MINUTE)
      ) {
        return
      }

      await tell(userId, {
        subject: `Your password at ${appName} was changed`,
        lines: [
          `The password of your ${appName} account was changed on ${timeOf(at)}.`,
          ...(count === 0
            ? []
            : [`${count === 1 ? 'One sign-in was' : `${count} sign-ins were`} ended by that.`]),
          '',
          'Was it you? Then there is nothing to do. If not, somebody else has set it. Set another one at once:'
        ]
      })
    }
  }
}

type BothSides = SessionEvent & Record<'presented' | 'rotated', TokenUse>

function inTwoPlaces (
  appName: string,
  { sessionId, presented, rotated }: BothSides,
  ended: boolean,
  ifBoth: string
): Mail {
  const sides = [presented, rotated].sort((one, other) => one.at - other.at)

  return {
    subject: `One sign-in to ${appName}, used in two places`,
    lines: [
      `One sign-in to your ${appName} account was used in two places:`,
      '',
      ...sides.map(side => placed(side.at, side)),
      '',
      'Somebody may have a copy of it. We cannot tell which of the two is you, if not both.',
      ended
        ? 'So we have ended this sign-in, in both places. Your other devices stay signed in.'
        : 'This sign-in is still open. You can end it on the page of your devices.',
      '',
      `For our support: session ${sessionId}, ${
        sides.map(({ generation }) => generation).join(' and ')
      }.`,
      '',
      `Do you know both places? ${ifBoth} If not:`
    ]
  }
}

const placed = (at: number, by: Caller): string =>
  `  ${timeOf(at)}: ${programOf(by.userAgent)}, ${shownAddress(by.address)}`

function timeOf (at: number): string {
  const day = new Date(at).toLocaleDateString('en-GB', {
    day: 'numeric',
    month: 'long',
    year: 'numeric',
    timeZone: 'UTC'
  })
  return `${day}, ${new Date(at).toISOString().slice(11, 16)} UTC`
}

// The first that fits, since browsers claim to be each other. Add your own apps.
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

/** Never the user agent itself: whoever sends it may have written a letter of their own. */
function programOf (userAgent: string | null): string {
  const [, browser = 'another program'] = browsers.find(([mark]) => userAgent?.includes(mark)) ?? []
  const [, system] = systems.find(([mark]) => userAgent?.includes(mark)) ?? []
  return system === undefined ? browser : `${browser} on ${system}`
}

function shownAddress (address: string | null): string {
  return address !== null && isIP(address) !== 0
    ? address.replace(/%.*/, '')
    : 'an address that we did not see'
}

/** What a provider gives to a neighbourhood: phones change their address all day, but seldom that. */
function networkOf (address: string | null): string {
  const plain = shownAddress(address).replace(/^::ffff:/i, '')
  return plain.split(plain.includes(':') ? ':' : '.').slice(0, 2).join('.')
}

function refuseSecrets (link: string): void {
  const { protocol, username, password, search, hash } = new URL(link)

  if (protocol !== 'https:' || username + password + search + hash !== '') {
    throw new TypeError(
      'links must be https, and the same for everybody: a token in a mail signs in whoever reads it'
    )
  }
}

class MemoryNotes implements Notes {
  readonly #ends = new Map<string, number>()
  readonly #clock: () => number

  constructor (clock: () => number) {
    this.#clock = clock
  }

  isFirst (key: string, keep: number): boolean {
    const now = this.#clock()

    if ((this.#ends.get(key) ?? 0) > now) {
      return false
    }

    this.#ends.delete(key)
    this.#ends.set(key, now + keep)
    const [oldest] = this.#ends.keys()

    if (this.#ends.size > 100_000 && oldest !== undefined) {
      this.#ends.delete(oldest)
    }

    return true
  }
}
