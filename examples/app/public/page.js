// With a bundler, import 'fastify-token-auth/client'.
import { createAuthClient } from './fastify-token-auth.js'

// Keeps the access token in memory. No script can read the cookie with the refresh token.
const auth = createAuthClient()
const find = selector => document.querySelector(selector)
const status = find('[role=status]')
const output = find('output')

const messages = {
  AUTH_CREDENTIALS_REJECTED: 'Name or password is wrong',
  AUTH_TOO_MANY_ATTEMPTS: 'Too many attempts, try again later',
  network: 'Server is not reachable'
}

// Called whenever the user signs in or out, in this tab or in another one.
function show ({ status: state, user }) {
  status.textContent = user ? `Signed in as ${user.username} (${user.role})` : 'Signed out'
  find('form').hidden = state !== 'signed-out'
  find('section').hidden = state !== 'signed-in'
  output.textContent = ''
}

async function readJson (response) {
  const body = await response.json()

  if (!response.ok) {
    throw new Error(body.message)
  }

  return body
}

find('form').addEventListener('submit', async event => {
  event.preventDefault()
  const form = new FormData(event.target)
  const { username, password } = Object.fromEntries(form)

  try {
    if (event.submitter.value === 'sign-up') {
      await readJson(
        await fetch('/sign-up', {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ username, password })
        })
      )
    }

    await auth.login({ username, password, remember_me: form.has('remember_me') })
    event.target.reset()
  } catch (error) {
    status.textContent = messages[error.code] ?? error.message
  }
})

find('#users').addEventListener('click', async () => {
  try {
    const users = await readJson(await auth.fetch('/users')) // like fetch, with the access token
    output.textContent = users.map(user => `${user.username} (${user.role})`).join(', ')
  } catch (error) {
    output.textContent = messages[error.code] ?? error.message
  }
})

find('#log-out').addEventListener('click', () => auth.logout())

auth.subscribe(show)
show(await auth.ready)
