// `sendTokens` builds its JSON without `JSON.stringify`, so these tests compare both.

import type { FastifyReply } from 'fastify'
import t from 'tap'
import { sendTokens } from '../../../src/http/reply.js'
import { createTestApp } from '../../helpers/app.js'

t.test('a token response is the JSON of its members', t => {
  const sent: string[] = []
  const reply = {
    type: () => reply,
    send: (text: string) => {
      sent.push(text)
    }
  } as unknown as FastifyReply
  const [token, user] = ['aZ-_09.b.c', { id: 'u"1\\', name: 'Zo\u00eb\u2028\n' }]

  for (const access of [{}, { access_token: token }]) {
    for (const refresh of [{}, { refresh_token: undefined }, { refresh_token: `${token}r` }]) {
      for (
        const more of [{ user }, { user, device_token: 'd"d' }, { scope: 'a "b"' }, {
          scope: undefined
        }]
      ) {
        const answer = { ...access, token_type: 'bearer', expires_in: 900, ...more, ...refresh }
        sendTokens(reply, answer)
        t.same(
          JSON.parse(sent.at(-1) ?? ''),
          JSON.parse(JSON.stringify(answer)),
          JSON.stringify(answer)
        )
        t.equal(sent.at(-1)?.length, JSON.stringify(answer).length, 'and nothing else')
      }
    }
  }

  t.equal(sent.length, 24)
  t.end()
})

t.test('tokens contain no character that JSON escapes', async t => {
  const id = 'u"1\\\n\u00e9'
  const { app } = await createTestApp({ users: [{ id, username: 'zoe', passwordHash: null }] })
  t.teardown(() => app.close())
  const caller = { headers: {}, raw: { rawHeaders: [] } }
  const { access_token: access, refresh_token: refresh } = await app.tokenAuth.openSession(
    id,
    caller
  )

  for (const token of [access, refresh]) {
    t.match(token, /^[\w.-]+$/)
  }

  const refreshed = await app.inject({
    method: 'POST',
    url: '/auth/refresh',
    payload: { refresh_token: refresh }
  })
  t.equal(refreshed.statusCode, 200)
  t.match(refreshed.json(), { access_token: /^[\w.-]+$/, refresh_token: /^[\w.-]+$/, user: { id } })
})
