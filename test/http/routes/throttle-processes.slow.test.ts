import t from 'tap'
import { PASSWORD } from '../../helpers/app.js'
import { createSqliteFile } from '../../helpers/databases/sqlite.js'
import { startServer } from '../../helpers/server-process.js'

t.test('two server processes share their counts', async t => {
  const file = createSqliteFile()
  const servers = await Promise.all([
    startServer(file.path, { isThrottled: true }),
    startServer(file.path, { isThrottled: true })
  ])
  t.teardown(async () => {
    await Promise.all(servers.map(server => server.close()))
    file.remove()
  })

  const login = async (i: number, password: string): Promise<number> => {
    const answer = await fetch(`${servers[i % 2]?.url}/auth/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ username: 'ann', password })
    })
    await answer.arrayBuffer()
    return answer.status
  }

  const statuses = await Promise.all(Array.from({ length: 101 }, (_, i) => login(i, 'wrong')))
  t.equal(statuses.filter(status => status === 401).length, 10)
  t.equal(statuses.filter(status => status === 429).length, 91)
  t.equal(await login(0, PASSWORD), 429)
  t.equal(await login(1, PASSWORD), 429)
})
