/* global history, location */

import { ask } from './dialog.js'
import { showNotice } from './elements.js'

/**
 * Asks before it uses the token of a link, so that a mail scanner that opens the link changes
 * nothing.
 *
 * @param {import('./watched-client.js').AuthClient} auth
 * @param {ReturnType<typeof import('./account-requests.js').createAccountRequests>} requests
 */
export async function openMailLink (auth, { send, signIn, adopt }) {
  const [action, token] = location.hash.slice(1).split('=')
  // The token leaves the address bar, and so the history, at once.
  history.replaceState(null, '', location.pathname)

  if (action === 'verify') {
    const isVerified = await ask({
      title: 'Verify your address',
      text: 'Press the button if you have created this account.',
      button: 'Verify address'
    }, async () => {
      await send('/auth/email/verify', { token })
      return true
    })

    if (isVerified) {
      // The state of a signed-in user shows the change.
      await auth.refresh()
      showNotice('Your address is verified.', true)
    }
  } else if (action === 'reset') {
    const isReset = await ask({
      title: 'Set a new password',
      text: 'All sessions of the account end, also those of an attacker.',
      button: 'Set password',
      fields: [{
        name: 'password',
        label: 'New password',
        type: 'password',
        autocomplete: 'new-password',
        hint: '8 characters or more'
      }]
    }, async ({ password }) => {
      await send('/auth/password/reset', { token, password })
      return true
    })

    if (isReset) {
      showNotice('Your password is changed. Sign in with it.', true)
    }
  } else if (action === 'sign-in') {
    const isConfirmed = await ask({
      title: 'Sign in',
      text: 'Press the button to sign in on this device.',
      button: 'Sign in'
    }, async () => true)

    if (isConfirmed) {
      await signIn(() => adopt('/auth/sign-in/redeem', { token }))
    }
  }
}
