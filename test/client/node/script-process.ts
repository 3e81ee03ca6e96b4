// A script that signs in, calls the server, and does not dispose its client:
// `script-process.ts <url> <file> <password>`. Prints the status of the response.
import { createAuthClient } from '../../../src/client/index.js'
import { fileStorage } from '../../../src/client/node/index.js'

const [baseUrl, path, password] = process.argv.slice(2) as [string, string, string]
const auth = createAuthClient({ baseUrl, storage: fileStorage(path) })
const { status } = await auth.ready

if (status === 'signed-out') {
  await auth.login({ username: 'ann', password })
}

console.log((await auth.fetch('/protected')).status)

if (password === 'logout') {
  await auth.logout()
}

process.on('exit', () => {
  console.log('exit')
})
