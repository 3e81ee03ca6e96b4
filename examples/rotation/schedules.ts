// Plays the same schedules by four rules of rotation: npx tsx examples/rotation/schedules.ts

import { randomUUID } from 'node:crypto'
import { ATTACKER, BROWSER, printTable, startLab } from './lab.js'
import type { Sender, Tokens } from './lab.js'

/** A server with one session. */
interface Server {
  wait(seconds: number): void
  login(): Promise<Tokens>
  /** Returns new tokens, or the status of the error. */
  refresh(token: string, sender: Sender): Promise<Tokens | number>
  use(access: string): Promise<void>
  saveBackup(): void
  restoreBackup(): void
  /** Whether the app was told about an attacker. */
  reportsAttack(): boolean
}

/** Rotation as it is often written: a list of tokens, each of which works once. */
class HandWritten implements Server {
  readonly #grace: number
  readonly #revokes: boolean
  #now = 0
  #isRevoked = false
  #usedAt = new Map<string, number | null>()
  #backup = this.#usedAt

  /**
   * @param grace Seconds in which a used token returns one more new token.
   * @param revokes Whether a token that is used later revokes the session (RFC 9700, 4.14.2).
   */
  constructor (grace: number, revokes: boolean) {
    this.#grace = grace
    this.#revokes = revokes
  }

  wait (seconds: number): void {
    this.#now += seconds
  }

  async login (): Promise<Tokens> {
    return this.#issue()
  }

  async refresh (token: string): Promise<Tokens | number> {
    const usedAt = this.#usedAt.get(token)

    if (usedAt === undefined || this.#isRevoked) {
      return 401
    }

    if (usedAt === null || this.#now < usedAt + this.#grace) {
      this.#usedAt.set(token, usedAt ?? this.#now)
      return this.#issue()
    }

    this.#isRevoked = this.#revokes
    return 401
  }

  async use (): Promise<void> {}

  saveBackup (): void {
    this.#backup = new Map(this.#usedAt)
  }

  restoreBackup (): void {
    this.#usedAt = this.#backup
  }

  reportsAttack (): boolean {
    return this.#isRevoked
  }

  #issue (): Tokens {
    const refresh = randomUUID()
    this.#usedAt.set(refresh, null)
    return { access: '', refresh }
  }
}

const { db, takeEvents, ...lab } = await startLab()

/** The plugin with its default options. */
const plugin: Server = {
  ...lab,
  saveBackup () {
    db.exec('CREATE TABLE backup AS SELECT * FROM token_auth_sessions')
  },
  restoreBackup () {
    db.exec('DELETE FROM token_auth_sessions')
    db.exec('INSERT INTO token_auth_sessions SELECT * FROM backup')
  },
  reportsAttack: () => takeEvents().some(event => ['reuse', 'suspicious-replay'].includes(event))
}

/** Someone with a refresh token: the browser of the user, or an attacker. */
class Party {
  isSignedIn = true
  token: string
  readonly #server: Server
  readonly #sender: Sender

  constructor (server: Server, token: string, sender: Sender) {
    this.#server = server
    this.token = token
    this.#sender = sender
  }

  /** A 401 signs out, as in most clients. */
  async refresh (token = this.token): Promise<void> {
    const answer = await this.#server.refresh(token, this.#sender)

    if (typeof answer === 'number') {
      this.isSignedIn = false
    } else {
      this.token = answer.refresh
      await this.#server.use(answer.access)
    }
  }

  async loseResponse (): Promise<void> {
    await this.#server.refresh(this.token, this.#sender)
  }
}

type Play = (user: Party, server: Server, attacker: Party) => Promise<void>

const accidents: Record<string, Play> = {
  'two tabs refresh at the same moment': async user => {
    const { token } = user
    await Promise.all([user.refresh(token), user.refresh(token)])
  },
  'a tab sends the same token 8 s later': async (user, server) => {
    const { token } = user
    await user.refresh(token)
    server.wait(8)
    await user.refresh(token)
  },
  'a response is lost, a retry follows after 1 s': async (user, server) => {
    await user.loseResponse()
    server.wait(1)
    await user.refresh()
  },
  'a response is lost, and the laptop sleeps for 1 h': async (user, server) => {
    await user.loseResponse()
    server.wait(3600)
    await user.refresh()
  },
  'a backup of an hour ago is restored': async (user, server) => {
    await user.refresh()
    server.saveBackup()
    server.wait(3600)
    await user.refresh()
    server.restoreBackup()
    await user.refresh()
  },
  'a request takes 30 s, and another tab goes on': async (user, server) => {
    const { token } = user
    await user.refresh(token)
    server.wait(30)
    await user.refresh(token)
  }
}

const attacks: Record<string, Play> = {
  'an attacker refreshes first, the user 1 h later': async (user, server, attacker) => {
    await attacker.refresh()
    server.wait(3600)
    await user.refresh()
  },
  'an attacker copies one token, and goes on alone': async (user, server, attacker) => {
    await user.refresh()
    server.wait(1)
    await attacker.refresh()
    server.wait(3600)
    await user.refresh()
    server.wait(60)
    await attacker.refresh()
  },
  'an attacker sends each token 1 s after the user': async (user, server, attacker) => {
    for (let round = 0; round < 3; round++) {
      attacker.token = user.token
      await user.refresh()
      server.wait(1)
      await attacker.refresh()
      server.wait(3600)
    }
  }
}

const rules: Record<string, () => Server> = {
  'one use': () => new HandWritten(0, false),
  'one use, reuse revokes': () => new HandWritten(0, true),
  'reuse for 10 s': () => new HandWritten(10, true),
  'this plugin': () => plugin
}

async function play (schedule: Play, server: Server): Promise<string> {
  const { refresh: token } = await server.login()
  const user = new Party(server, token, BROWSER)
  const attacker = new Party(server, token, ATTACKER)
  await schedule(user, server, attacker)
  const isReported = server.reportsAttack()
  server.wait(3600)

  if (Object.values(accidents).includes(schedule)) {
    await user.refresh()
    return user.isSignedIn ? 'signed in' : `signed out${isReported ? ', false alarm' : ''}`
  }

  await attacker.refresh()

  if (attacker.isSignedIn) {
    return isReported ? 'reported' : 'attacker stays'
  }

  return isReported ? 'reported, revoked' : 'attacker rejected'
}

const rows = [['', ...Object.keys(rules)]]

for (const [name, schedule] of Object.entries({ ...accidents, ...attacks })) {
  const row = [name]

  for (const open of Object.values(rules)) {
    row.push(await play(schedule, open()))
  }

  rows.push(row)
}

await lab.close()
printTable(rows)
