import t from 'tap'
import { MINUTE, SECOND } from '../../helpers/clock.js'
import { startPair } from './suspended-setup.js'

t.test('a token that was outdated during the suspension is a reuse after it', async t => {
  const { first, second, suspend } = await startPair(t)
  const before = await first.login()
  suspend(5 * MINUTE)
  const after = (await second.refresh(before.refresh_token)).json()
  t.equal((await second.get('/protected', after.access_token)).statusCode, 200)
  suspend(10 * MINUTE)
  const stolen = await first.refresh(before.refresh_token)
  t.match(stolen.json(), { statusCode: 401, code: 'AUTH_REFRESH_REUSED' })
})

t.test('a retry is a replay after a suspension', async t => {
  const { first, second, clock, suspend } = await startPair(t)
  const before = await first.login()
  suspend(5 * MINUTE)
  const after = (await second.refresh(before.refresh_token)).json()
  clock.advance(2 * SECOND)
  const retry = await first.refresh(before.refresh_token)
  t.equal(retry.statusCode, 200)
  t.equal(retry.json().refresh_token, after.refresh_token)
})

t.test('a retry is a replay although the instance waits for the time of the database', async t => {
  const { first, second, clock, suspend, slowDown } = await startPair(t)
  const before = await first.login()
  suspend(5 * MINUTE)
  const after = (await second.refresh(before.refresh_token)).json()
  t.equal((await second.get('/protected', after.access_token)).statusCode, 200)
  clock.advance(9.5 * SECOND)
  slowDown(2.5 * SECOND)
  const retry = await first.refresh(before.refresh_token)
  t.equal(retry.json().refresh_token, after.refresh_token)
})

t.test('the current token is rotated after a suspension', async t => {
  const { first, second, suspend } = await startPair(t)
  const before = await first.login()
  suspend(5 * MINUTE)
  const after = (await second.refresh(before.refresh_token)).json()
  suspend(10 * MINUTE)
  const next = await first.refresh(after.refresh_token)
  t.equal(next.statusCode, 200)
  t.not(next.json().refresh_token, after.refresh_token)
  t.equal((await first.get('/protected', next.json().access_token)).statusCode, 200)
})
