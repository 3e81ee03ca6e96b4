import type { Test } from 'tap'
import type { TokenResponse } from '../../../src/index.js'
import {
  assertAccepted,
  assertRejectedAfterPoll,
  bearer,
  getSessionId,
  GRACE,
  startInstances,
  until
} from './instances-setup.js'
import type { Database, Instance } from './instances-setup.js'

/** Tests that a revocation on one of several instances reaches the others. */
export function testRevocations (
  t: Test,
  open: () => Promise<Database>,
  count: number
): void {
  t.test('a logout revokes its session on all instances', async t => {
    const [here, ...others] = await startInstances(t, open, count) as [
      Instance,
      ...Instance[]
    ]
    const ended = await here.login()
    const live = await here.login()
    t.equal(
      (await here.post('/auth/logout', { refresh_token: ended.refresh_token })).statusCode,
      204
    )
    t.equal(await here.status(ended), 401, 'on the instance of the logout, immediately')
    await assertRejectedAfterPoll(t, others, [ended])
    await assertAccepted(t, [here, ...others], [live])
  })

  t.test('a logout of all sessions revokes them on all instances', async t => {
    const [here, ...others] = await startInstances(t, open, count) as [
      Instance,
      ...Instance[]
    ]
    const ended = await Promise.all([here, ...others].map(instance => instance.login('ann')))
    const live = await here.login('bob')
    t.equal(
      (await here.post('/auth/logout/all', undefined, bearer(ended[0] as TokenResponse)))
        .statusCode,
      204
    )

    for (const tokens of ended) {
      t.equal(await here.status(tokens), 401)
    }

    await assertRejectedAfterPoll(t, others, ended)
    await assertAccepted(t, [here, ...others], [live])
  })

  t.test('revokeUser with keep revokes the other sessions on all instances', async t => {
    const [here, ...others] = await startInstances(t, open, count) as [
      Instance,
      ...Instance[]
    ]
    const kept = await here.login()
    const ended = await Promise.all([here, ...others].map(instance => instance.login()))
    t.equal(
      await here.app.tokenAuth.revokeUser('u-ann', { keep: getSessionId(kept) }),
      ended.length
    )
    await assertRejectedAfterPoll(t, others, ended)
    await assertAccepted(t, [here, ...others], [kept])
    t.equal((await others[0]?.refresh(kept.refresh_token))?.statusCode, 200)
  })

  t.test('every instance emits session-ended once for each revocation', async t => {
    const [here, ...others] = await startInstances(t, open, count) as [
      Instance,
      ...Instance[]
    ]
    const [first, kept] = [await here.login(), await here.login()]
    const keep = getSessionId(kept)
    await here.post('/auth/logout', { refresh_token: first.refresh_token })
    await here.app.tokenAuth.revokeUser('u-ann', { keep })
    const at = here.clock()
    const expected = [
      { at, sessionId: getSessionId(first), userId: 'u-ann', reason: 'logout' },
      { at, sessionId: null, userId: 'u-ann', reason: 'revoked', keep }
    ]
    const getEnded = ({ events }: Instance): object[] =>
      events.filter(({ name }) => name === 'session-ended')

    for (const instance of [here, ...others]) {
      instance.hint()
      await until(() => getEnded(instance).length === 2)
      instance.hint()
      t.match(
        getEnded(instance),
        expected.map(event => ({
          ...event,
          local: instance === here
        }))
      )
    }
  })

  t.test('a reused refresh token revokes its session on all instances', async t => {
    const [here, ...others] = await startInstances(t, open, count) as [
      Instance,
      ...Instance[]
    ]
    const { clock } = here
    const first = await here.login()
    const second = (await here.refresh(first.refresh_token)).json<TokenResponse>()
    clock.advance(GRACE)
    const third = (await others[0]?.refresh(second.refresh_token))?.json<
      TokenResponse
    >() as TokenResponse
    clock.advance(1)
    t.equal((await here.refresh(first.refresh_token)).json().code, 'AUTH_REFRESH_REUSED')
    t.equal(await here.status(third), 401)
    await assertRejectedAfterPoll(t, others, [third])
  })

  t.test('a session that is deleted in the list is revoked on all instances', async t => {
    const [here, ...others] = await startInstances(t, open, count) as [
      Instance,
      ...Instance[]
    ]
    const [ended, live] = [await others[0]?.login() as TokenResponse, await here.login()]
    const { statusCode } = await here.app.inject({
      method: 'DELETE',
      url: `/auth/sessions/${getSessionId(ended)}`,
      headers: bearer(live)
    })
    t.equal(statusCode, 204)
    await assertRejectedAfterPoll(t, others, [ended])
    await assertAccepted(t, [here, ...others], [live])
  })
}
