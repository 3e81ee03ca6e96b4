// Connects the page to the client. All values are set as text, so that markup in a name has no
// effect.

import { connectAccessToken } from './access-token.js'
import { connectAttack } from './attack.js'
import { connectDevices } from './devices.js'
import { byId, showNotice } from './elements.js'
import { describeError } from './errors.js'
import { connectFaults } from './fault-buttons.js'
import { addLogEntry } from './log.js'
import { createTaskRunner, onClick } from './tasks.js'
import { createWatchedClient } from './watched-client.js'

/** @type {HTMLElement} */
const signedIn = byId('signed-in')
/** @type {HTMLFormElement} */
const form = byId('credentials')

/** Whether this tab is logging out. */
let isLoggingOut = false
/** @type {string | undefined} */
let shownName

const { auth, faults, getToken } = createWatchedClient(addLogEntry)
const runTask = createTaskRunner(auth)
const devices = connectDevices(auth, runTask)
connectAccessToken(auth, getToken, runTask)
connectFaults(auth, faults, runTask)
connectAttack(auth, runTask)

/** @param {import('fastify-token-auth/client').AuthState} state */
function showState ({ status, user, reason }) {
  const isSignedIn = status === 'signed-in'
  const wasSignedIn = !signedIn.hidden
  const name = /** @type {{ username?: string } | null} */ (user)?.username
  const badge = byId('state')
  badge.textContent = isSignedIn
    ? `Signed in${name ? ` as ${name}` : ''}`
    : status === 'starting'
    ? 'Starting…'
    : 'Signed out'
  badge.classList.toggle('signed-in', isSignedIn)
  byId('signed-out').hidden = status !== 'signed-out'
  signedIn.hidden = !isSignedIn

  if (isSignedIn && !wasSignedIn) {
    showNotice('')
    form.reset()
    byId('token-title').focus()
  }

  if (isSignedIn && (!wasSignedIn || name !== shownName)) {
    void devices.load()
  }

  shownName = name

  if (status === 'signed-out') {
    byId('repeat').checked = false
    devices.clear()

    if (wasSignedIn) {
      showSignOut(reason)
    }
  }
}

/** @param {import('fastify-token-auth/client').SignOutReason | undefined} reason */
function showSignOut (reason) {
  if (reason === 'logout') {
    showNotice(
      isLoggingOut ? 'You have signed out.' : 'You have signed out in another tab.',
      true
    )
  } else if (reason) {
    showNotice(describeError({ code: reason }))
  }

  byId('username').focus()
}

auth.subscribe(showState)
void auth.ready.then(showState)

form.addEventListener('submit', event => {
  event.preventDefault()
  const button = /** @type {HTMLButtonElement} */ (event.submitter)
  void runTask(form, async () => {
    const fields = new FormData(form)
    const username = String(fields.get('username'))
    const password = String(fields.get('password'))
    const device = String(fields.get('device') ?? '')

    if (button.id === 'sign-up') {
      await signUp({ username, password })
    }

    await auth.login({
      username,
      password,
      remember_me: fields.get('remember_me') === 'on',
      ...(device !== '' && { device })
    })
  })
})

/** @param {object} account */
async function signUp (account) {
  const response = await fetch('/register', {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(account)
  })
  addLogEntry('request', `PUT /register → ${response.status}`, '', !response.ok)

  if (response.status === 409) {
    throw new Error('This name is taken. If it is yours, sign in.')
  }

  if (!response.ok) {
    throw new Error('The server rejected this name or password.')
  }
}

/**
 * @param {string} id
 * @param {() => Promise<void>} logout
 */
function onSignOut (id, logout) {
  onClick(id, () =>
    runTask(byId(id), async () => {
      isLoggingOut = true
      await logout().finally(() => {
        isLoggingOut = false
      })
    }))
}

onSignOut('sign-out', auth.logout)
onSignOut('sign-out-everywhere', auth.logoutEverywhere)
