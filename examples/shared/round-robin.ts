// Starts an app in several processes, and one address in front of them that asks each in turn.

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'

/** @param instance A module that starts an app and sends its address to the parent. */
export async function startBehindRoundRobin (instance: URL, count = 2): Promise<void> {
  const processes = Array.from(
    { length: count },
    () => fork(instance, { execArgv: ['--import', 'tsx'] })
  )
  const urls = await Promise.all(
    processes.map(async process => String((await once(process, 'message'))[0]))
  )
  let turn = 0
  const server = createServer((incoming, outgoing) => {
    const url = new URL(incoming.url ?? '/', urls[turn++ % urls.length])
    const { method, headers } = incoming
    const forwarded = request(url, { method: method ?? 'GET', headers }, answer => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(outgoing)
    })
    forwarded.on('error', () => outgoing.writeHead(502).end())
    incoming.pipe(forwarded)
  }).listen(Number(process.env.PORT ?? 3000), '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  console.log(`
  ${count} instances (${
    urls.join(', ')
  }) behind http://127.0.0.1:${port}. Try, and watch who answers:

  curl http://127.0.0.1:${port}/auth/login -d username=ann --data-urlencode 'password=correct horse'
  curl http://127.0.0.1:${port}/protected -H "authorization: Bearer $ACCESS_TOKEN"
  curl http://127.0.0.1:${port}/auth/logout -H "authorization: Bearer $ACCESS_TOKEN" -X POST
`)

  const end = (): void => {
    server.close()

    for (const process of processes) {
      process.kill()
    }
  }

  process.once('SIGINT', end).once('SIGTERM', end)
}
