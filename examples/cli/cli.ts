// A command-line tool whose session is in a file. Start examples/minimal/server.ts first, then:
//
//   npx tsx examples/cli/cli.ts login ann     reads the password from the terminal
//   npx tsx examples/cli/cli.ts whoami        uses the session; any number of times concurrently
//   npx tsx examples/cli/cli.ts logout
//
//   API_URL          http://127.0.0.1:3000
//   API_PASSWORD     none; replaces the question, for machines without a terminal
//   XDG_CONFIG_HOME  ~/.config

import { homedir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import { AuthError, createAuthClient } from 'fastify-token-auth/client'
import { fileStorage } from 'fastify-token-auth/client/node'

const {
  API_URL: baseUrl = 'http://127.0.0.1:3000',
  API_PASSWORD,
  XDG_CONFIG_HOME = join(homedir(), '.config')
} = process.env

// Each server has a session of its own. A host may contain a colon, which Windows does not allow.
const file = join(
  XDG_CONFIG_HOME,
  'example-cli',
  `${encodeURIComponent(new URL(baseUrl).host)}.json`
)
const auth = createAuthClient({ baseUrl, storage: fileStorage(file) })

async function readPassword (): Promise<string> {
  if (API_PASSWORD !== undefined) {
    return API_PASSWORD
  }

  process.stderr.write('Password: ')
  // The terminal does not show what is written here.
  const output = new Writable({ write: (_chunk, _encoding, done) => done() })
  const terminal = process.stdin.isTTY
  const lines = createInterface({ input: process.stdin, output, terminal })

  const { value, done = false } = await lines[Symbol.asyncIterator]().next()
  lines.close()
  process.stderr.write('\n')

  if (done) {
    throw new Error('no password; set API_PASSWORD')
  }

  return value
}

async function login (username: string): Promise<void> {
  await auth.login({ username, password: await readPassword() })
  console.log(`signed in as ${username}`)
}

async function whoami (): Promise<void> {
  const { status } = await auth.ready

  if (status === 'signed-out') {
    throw new Error('not signed in; run "login <username>"')
  }

  const response = await auth.fetch('/protected')

  if (!response.ok) {
    throw new Error(`the server responded with ${response.status}`)
  }

  const { userId } = await response.json() as { userId: string }
  console.log(`user ${userId}`)
}

async function logout (): Promise<void> {
  await auth.logout()
  console.log('signed out')
}

const [command, username] = process.argv.slice(2)

try {
  if (command === 'login' && username !== undefined) {
    await login(username)
  } else if (command === 'whoami') {
    await whoami()
  } else if (command === 'logout') {
    await logout()
  } else {
    throw new Error('usage: login <username> | whoami | logout')
  }
} catch (error) {
  console.error(explain(error))
  process.exitCode = 1
}

// The process ends here by itself: the client has no timer that keeps it alive.

function explain (error: unknown): string {
  if (!(error instanceof AuthError)) {
    return (error as Error).message
  }

  switch (error.code) {
    case 'AUTH_CREDENTIALS_REJECTED':
      return 'wrong username or password'
    case 'network':
      return `${baseUrl} is not reachable; the session continues`
    case 'storage':
      // The cause names the file.
      return `cannot use the session: ${(error.cause as Error).message}`
    default:
      return `failed with ${error.code}`
  }
}
