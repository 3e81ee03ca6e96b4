// The account page: sign-up, links and codes by mail, two-step sign-in, and sensitive actions.

import { createAccountRequests } from './account-requests.js'
import { ask } from './dialog.js'
import { byId, showNotice } from './elements.js'
import { describeError } from './errors.js'
import { addLogEntry } from './log.js'
import { openMailLink } from './mail-links.js'
import { createTaskRunner, onClick } from './tasks.js'
import { connectTwoStep } from './two-step.js'
import { createWatchedClient } from './watched-client.js'

/**
 * User as the server of the demo presents it.
 *
 * @typedef {object} DemoUser
 * @property {string} username
 * @property {string | null} email
 * @property {boolean} isVerified
 * @property {boolean} hasSecondFactor
 */

const MAIL_SENT = 'If the address has an account, a mail is on its way.'

/** @type {HTMLFormElement} */
const form = byId('credentials')
/** @type {HTMLInputElement} */
const email = byId('email')
const { auth } = createWatchedClient(addLogEntry)
const runTask = createTaskRunner(auth)
const requests = createAccountRequests(auth)

/** @param {import('fastify-token-auth/client').AuthState} state */
function showState ({ status, user, reason }) {
  const isSignedIn = status === 'signed-in'
  const wasSignedIn = !byId('account').hidden
  const { username = '', email: address = null, isVerified = false, hasSecondFactor = false } =
    /** @type {Partial<DemoUser>} */ (user ?? {})
  byId('state').textContent = isSignedIn
    ? `Signed in${username && ` as ${username}`}`
    : status === 'starting'
    ? 'Starting…'
    : 'Signed out'
  byId('state').classList.toggle('signed-in', isSignedIn)
  byId('signed-out').hidden = status !== 'signed-out'
  byId('account').hidden = !isSignedIn
  byId('verified').textContent = address && (isVerified ? 'verified' : 'not verified')
  byId('verified').classList.toggle('warn', !isVerified)
  byId('address').textContent = address ??
    'This account has a name only. Create an account with an address to get mails.'
  byId('verify-again').hidden = address === null || isVerified
  byId('two-step').textContent = hasSecondFactor ? 'on' : 'off'
  byId('turn-on').hidden = hasSecondFactor
  byId('new-codes').hidden = !hasSecondFactor
  byId('turn-off').hidden = !hasSecondFactor

  if (isSignedIn && !wasSignedIn) {
    form.reset()
    byId('account-title').focus()
  } else if (status === 'signed-out' && wasSignedIn) {
    email.focus()
    showNotice(reason === undefined || reason === 'logout' ? '' : describeError({ code: reason }))
  }
}

auth.subscribe(showState)
void auth.ready.then(showState)

form.addEventListener('submit', event => {
  event.preventDefault()
  const isSignUp = /** @type {HTMLButtonElement} */ (event.submitter).id === 'sign-up'
  const password = String(new FormData(form).get('password'))
  void runTask(form, async () => {
    if (isSignUp) {
      await requests.send('/sign-up', { email: email.value, password })
      showNotice('A mail is on its way. Open its link to verify your address, then sign in.', true)
    } else {
      await requests.signIn(() => auth.login({ email: email.value, password }))
    }
  })
})

/**
 * Connects a button that needs the address only.
 *
 * @param {string} id
 * @param {() => Promise<void>} task
 */
function onMailButton (id, task) {
  onClick(id, () => {
    if (email.reportValidity()) {
      void runTask(byId(id), task)
    }
  })
}

onMailButton('send-link', async () => {
  await requests.send('/auth/sign-in/link', { email: email.value })
  showNotice(MAIL_SENT, true)
})
onMailButton('forgot-password', async () => {
  await requests.send('/auth/password/forgot', { email: email.value })
  showNotice(MAIL_SENT, true)
})
onMailButton('send-code', async () => {
  const address = email.value
  const { challenge } = await requests.send('/auth/sign-in/code', { email: address })
  // The dialog closes before the second factor is asked for.
  const code = await ask({
    title: 'Enter the code',
    text: `${MAIL_SENT} The code is valid on this page only.`,
    button: 'Sign in',
    fields: [{ name: 'code', label: 'Code', autocomplete: 'one-time-code', hint: '6 digits' }]
  }, async ({ code }) => code)

  if (code !== null) {
    await requests.signIn(() =>
      requests.adopt('/auth/sign-in/redeem', { challenge, email: address, code })
    )
  }
})

onClick('sign-out', () =>
  runTask(byId('sign-out'), async () => {
    await auth.logout()
    showNotice('You have signed out.', true)
  }))
onClick('verify-again', () =>
  runTask(byId('verify-again'), async () => {
    await requests.send('/auth/email/verification')
    showNotice('A mail is on its way.', true)
  }))
onClick('change-password', () =>
  runTask(byId('change-password'), async () => {
    const isChanged = await ask({
      title: 'Change your password',
      text: 'All other sessions of this account end.',
      button: 'Change password',
      username: /** @type {DemoUser} */ (auth.state.user).username,
      fields: [
        {
          name: 'current_password',
          label: 'Current password',
          type: 'password',
          autocomplete: 'current-password'
        },
        {
          name: 'new_password',
          label: 'New password',
          type: 'password',
          autocomplete: 'new-password',
          hint: '8 characters or more'
        }
      ]
    }, async passwords => {
      await requests.send('/auth/password/change', passwords)
      return true
    })

    if (isChanged) {
      showNotice('Your password is changed.', true)
    }
  }))
onClick('delete', () =>
  runTask(byId('delete'), async () => {
    const isConfirmed = await ask({
      title: 'Delete your account?',
      text: 'You cannot undo this.',
      button: 'Delete my account'
    }, async () => true)

    if (isConfirmed && await requests.sendSensitive('/account', undefined, 'DELETE') !== null) {
      await auth.logout()
      showNotice('Your account is deleted.', true)
    }
  }))

connectTwoStep(auth, requests, runTask)

const openLink = () => runTask(byId('state'), () => openMailLink(auth, requests))
globalThis.addEventListener('hashchange', openLink)
void auth.ready.then(openLink)
