// Shows every verdict on a refresh token over HTTP: npx tsx examples/rotation/rotation.ts

import { ATTACKER, BROWSER, printTable, startLab } from './lab.js'
import type { Tokens } from './lab.js'

const HOUR = 3600
const DAY = 24 * HOUR
const lab = await startLab()
const rows = [['what happens', 'sends', 'response', 'verdict', 'events']]
/** Refresh tokens of the current session, in the order in which they appeared. */
let tokens: string[] = []

/** Begins a session and a new part of the table. */
async function login (): Promise<void> {
  const { refresh } = await lab.login()
  tokens = [refresh]
  rows.push([])
  lab.takeEvents()
}

/** Equal tokens have the same name. */
function getName (token: string): string {
  if (!tokens.includes(token)) {
    tokens.push(token)
  }

  return `token ${tokens.indexOf(token)}`
}

function addRow (what: string, sent: number, verdict: string, answer: Tokens | number): void {
  const response = typeof answer === 'number' ? String(answer) : `200 ${getName(answer.refresh)}`
  rows.push([what, `token ${sent}`, response, verdict, lab.takeEvents().join(', ')])
}

/** Sends one of the tokens, and returns the access token of the response. */
async function refresh (
  what: string,
  sent: number,
  verdict: string,
  sender = BROWSER
): Promise<string> {
  const answer = await lab.refresh(tokens[sent] ?? '', sender)
  addRow(what, sent, verdict, answer)
  return typeof answer === 'number' ? '' : answer.access
}

await login()
await refresh('a tab refreshes', 0, 'rotated')
lab.wait(3)
await refresh('another tab, 3 s later', 0, 'replayed')
await refresh('the new token, immediately', 1, 'kept')
lab.wait(10)
await refresh('the new token, 10 s later', 1, 'rotated')
lab.wait(HOUR)
const access = await refresh('a retry: the response was lost', 1, 'recovered')
await lab.use(access)
lab.wait(HOUR)
await refresh('an attacker, after token 2 was used', 1, 'reused', ATTACKER)
await refresh('the user, after that', 2, 'revoked')

await login()
lab.wait(7 * DAY)
await refresh('a user after a week', 0, 'expired')

await login()
await refresh('a tab refreshes', 0, 'rotated')
lab.db.exec('CREATE TABLE backup AS SELECT * FROM token_auth_sessions')
lab.wait(HOUR)
await refresh('an hour after the backup', 1, 'rotated')
lab.db.exec('DELETE FROM token_auth_sessions')
lab.db.exec('INSERT INTO token_auth_sessions SELECT * FROM backup')
await refresh('after the backup was restored', 2, 'ahead')
lab.db.exec('DELETE FROM token_auth_sessions')
await refresh('after the table was lost', 2, 'unknown')

await login()
await refresh('a tab refreshes', 0, 'rotated')
lab.wait(10)
const slow = await lab.refreshSlowly(tokens[1] ?? '', async () => {
  await refresh('another tab, while a request waits', 1, 'rotated')
  lab.wait(10)
  await refresh('the other tab again', 2, 'rotated')
})
addRow('the request that waited', 1, 'late', slow)

await login()

for (const generation of [0, 1, 2]) {
  await refresh('the user', generation, 'rotated')
  lab.wait(1)
  await refresh('an attacker who keeps pace', generation, 'replayed', ATTACKER)
  lab.wait(10)
}

await refresh('any older token', 0, 'reused', ATTACKER)
await lab.close()

printTable(rows)
