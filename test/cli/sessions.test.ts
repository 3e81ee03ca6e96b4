import { randomBytes } from 'node:crypto'
import t from 'tap'
import type { Session } from '../../src/domain/session.js'
import { createSessionId } from '../../src/domain/session.js'
import { runCli } from '../helpers/cli.js'
import type { CliResult } from '../helpers/cli.js'
import { cliDatabases } from '../helpers/cli-databases.js'
import { DAY, HOUR, MINUTE } from '../helpers/clock.js'
import { openSqliteStore } from '../helpers/databases/sqlite.js'

const REALM = 'auth'
const ESCAPE = '\u001B[2J'

function createSession (userId: string, members: Partial<Session> = {}): Session {
  const { createdAt: at = Date.now() - HOUR } = members
  const by = { address: '192.0.2.7', userAgent: 'curl/8' }

  return {
    id: createSessionId(at),
    realm: REALM,
    userId,
    secretHash: `hash-${randomBytes(24).toString('base64url')}`,
    generation: 3,
    confirmedGeneration: 3,
    createdAt: at,
    authenticatedAt: at,
    rotatedAt: at,
    rotatedBy: by,
    graceFrom: at,
    lastUsedAt: at + MINUTE,
    expiresAt: at + DAY,
    endsAt: at + 30 * DAY,
    revokedAt: null,
    revokedFor: null,
    device: { label: `phone${ESCAPE}`, ...by },
    replayRun: { generation: 0, length: 0 },
    ...members
  }
}

for (const [name, { skip, open }] of Object.entries(cliDatabases)) {
  t.test(`sessions and revoke on ${name}`, { skip }, async t => {
    const { url, store, args } = await open(t)
    const cli = (argv: readonly string[], options = {}): Promise<CliResult> =>
      runCli([...argv, ...args], { env: { DATABASE_URL: url }, ...options })
    const [first, second] = [createSession('ann'), createSession('ann')]
    const others = [createSession('bob'), createSession('ann', { realm: 'staff' })]

    for (const session of [first, second, ...others]) {
      await store.create(session)
    }

    await t.test('sessions prints a table without secret hashes', async t => {
      const { code, out, error } = await cli(['sessions', '--user', 'ann'])
      const lines = out.trim().split('\n')
      t.equal(code, 0)
      t.equal(error, '')
      t.match(
        lines[0],
        /^ID +CREATED +LAST USED +EXPIRES +DEVICE +ADDRESS +STATE$/
      )
      t.strictSame(
        lines.slice(1).map(line => line.split(' ')[0]),
        [first.id, second.id].sort().reverse()
      )
      const time = '\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d'
      t.match(
        lines[1],
        new RegExp(`^\\S+  ${time}  ${time}  ${time}  phone\uFFFD\\[2J  192\\.0\\.2\\.7  active$`)
      )
      t.notMatch(out, 'hash-')
      t.notOk(out.includes('\u001B'), 'a device name cannot control the terminal')
    })

    await t.test('sessions --json prints all members without secret hashes', async t => {
      const { out, json } = await cli(['sessions', '--user', 'ann', '--json', '--limit', '1'])
      t.notMatch(out, 'hash-')
      t.match(json(), {
        ok: true,
        command: 'sessions',
        realm: REALM,
        hasMore: true,
        sessions: [{ userId: 'ann', state: 'active', generation: 3, revokedAt: null }]
      })
      t.ok(Math.abs(Date.parse(json().now as string) - Date.now()) < MINUTE)
    })

    await t.test('sessions sees the sessions of its realm only', async t => {
      const { json } = await cli(['sessions', '--user', 'ann', '--realm', 'staff', '--json'])
      t.strictSame(json().sessions.map(({ id }: Session) => id), [others[1]?.id])
      const { out } = await cli(['sessions', '--user', 'nobody'])
      t.equal(out, 'user "nobody" has no active sessions in realm "auth"\n')
    })

    await t.test('revoke --session revokes one session without a question', async t => {
      const { code, out } = await cli(['revoke', '--session', first.id])
      t.equal(code, 0)
      t.equal(out, 'revoked the session of user ann\n')
      t.equal((await store.find(REALM, first.id))?.revokedFor, 'revoked')
      t.equal((await store.find(REALM, second.id))?.revokedAt, null)

      const again = await cli(['revoke', '--session', first.id])
      t.equal(again.code, 0)
      t.equal(again.out, 'the session was revoked before\n')
      const shown = await cli(['sessions', '--session', first.id])
      t.match(shown.out, /revoked \d{4}-\d\d-\d\d \d\d:\d\d \(revoked\)\n$/)
    })

    await t.test('no output contains control characters of a user ID or a device', async t => {
      const session = createSession(`eve\u009B2J\u202E${ESCAPE}`)
      await store.create(session)
      const runs = [
        await cli(['sessions', '--session', session.id, '--json']),
        await cli(['revoke', '--session', session.id]),
        await cli(['revoke', '--user', session.userId], { answer: 'n' })
      ]

      for (const { out, error, questions } of runs) {
        t.notMatch(`${out}${error}${questions.join('')}`, /[^\P{C}\n]/u)
      }

      t.match(runs[0]?.json().sessions[0].userId, session.userId)
    })

    await t.test('an unknown session exits with 1', async t => {
      for (const argv of [['sessions', '--session', 'x'], ['revoke', '--session', 'x']]) {
        const { code, error } = await cli(argv)
        t.equal(code, 1)
        t.match(error, 'the realm has no session with this ID')
      }
    })

    await t.test('revoke --user does nothing without a confirmation', async t => {
      const runs = [
        [await cli(['revoke', '--user', 'ann']), 2],
        [await cli(['revoke', '--user', 'ann', '--json'], { answer: 'y' }), 2],
        [await cli(['revoke', '--user', 'ann'], { answer: 'n' }), 1],
        [await cli(['revoke', '--user', 'ann'], { answer: '' }), 1]
      ] as const

      for (const [{ code }, expected] of runs) {
        t.equal(code, expected)
      }

      t.match(runs[0][0].error, /^fastify-token-auth: Revoke all .+ Nothing was done; add --yes/)
      t.match(runs[2][0].questions[0], /^Revoke all sessions of user "ann" in realm "auth" on /)
      t.equal((await store.find(REALM, second.id))?.revokedAt, null)
    })

    await t.test('revoke --user ends the sessions of one user in one realm', async t => {
      const { code, out } = await cli(['revoke', '--user', 'ann'], { answer: 'y' })
      t.equal(code, 0)
      t.match(out, 'revoked 1 session of user "ann" in realm "auth"')
      t.ok((await store.find(REALM, second.id))?.revokedAt)
      t.equal((await store.find(REALM, others[0]?.id ?? ''))?.revokedAt, null)
      t.equal((await store.find('staff', others[1]?.id ?? ''))?.revokedAt, null)
    })

    await t.test('revoke --all ends all sessions of one realm', async t => {
      const { code, json } = await cli(['revoke', '--all', '--yes', '--json'])
      t.equal(code, 0)
      t.match(json(), { ok: true, command: 'revoke', realm: REALM, at: /Z$/ })
      t.ok((await store.find(REALM, others[0]?.id ?? ''))?.revokedAt)
      t.equal((await store.find('staff', others[1]?.id ?? ''))?.revokedAt, null)
      const { entries } = await store.revocations({ within: MINUTE }, 100)
      t.ok(entries.some(entry => !('userId' in entry) && entry.realm === REALM))
    })

    await t.test('revoke uses the clock of the database', async t => {
      const session = createSession('cyd', { realm: 'clock' })
      await store.create(session)
      await cli(['revoke', '--session', session.id, '--realm', 'clock'], { now: () => 0 })
      const { revokedAt } = await store.find('clock', session.id) ?? {}
      t.ok(Math.abs((revokedAt ?? 0) - Date.now()) < MINUTE)
    })

    await t.test('sweep deletes expired sessions, unless the clocks differ', async t => {
      const old = Date.now() - 10 * DAY
      const realm = 'sweep'
      const expired = createSession('dan', { realm, createdAt: old, expiresAt: old + DAY })
      await store.create(expired)
      const wrong = await cli(['sweep'], { now: () => Date.now() + HOUR })
      t.equal(wrong.code, 1)
      t.match(wrong.error, /this machine differ by 36\d\d s; nothing was deleted/)
      t.ok(await store.find(realm, expired.id))

      const { code, json } = await cli(['sweep', '--json'])
      t.equal(code, 0)
      t.equal(json().deleted, 1)
      t.equal(await store.find(realm, expired.id), null)
      t.ok(await store.find(REALM, second.id), 'keeps what ended less than 25 hours ago')
      const forced = await cli(['sweep', '--yes'], { now: () => Date.now() + HOUR })
      t.equal(forced.out, 'deleted 0 expired records\n')
    })
  })
}

t.test('a database without tables exits with 1 and names the command', async t => {
  const { file } = await openSqliteStore()
  t.teardown(() => {
    file.remove()
  })
  const db = file.connect()
  db.exec('DROP TABLE token_auth_revocations')
  const { code, error, json } = await runCli([
    'sessions',
    '--json',
    '--user',
    'ann',
    '--database',
    `file:${file.path}`
  ])
  t.equal(code, 1)
  t.equal(error, '')
  t.match(json(), {
    ok: false,
    error: { code: 'SCHEMA_OUTDATED', message: /fastify-token-auth mi/ }
  })
})
