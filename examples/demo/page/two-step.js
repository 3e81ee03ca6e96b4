import { ask } from './dialog.js'
import { byId, showNotice } from './elements.js'
import { onClick } from './tasks.js'

/**
 * Connects the buttons of two-step sign-in.
 *
 * @param {import('./watched-client.js').AuthClient} auth
 * @param {ReturnType<typeof import('./account-requests.js').createAccountRequests>} requests
 * @param {import('./tasks.js').RunTask} runTask
 */
export function connectTwoStep (auth, { send, sendSensitive }, runTask) {
  onClick('turn-on', () =>
    runTask(byId('turn-on'), async () => {
      const totp = await sendSensitive('/totp')

      if (totp === null) {
        return
      }

      const result = await ask({
        title: 'Set up your authenticator app',
        text:
          'Add an account in the app, and type this key. Then enter the code that the app shows.',
        button: 'Turn on',
        details: [
          ['Key', totp.secret.match(/.{1,4}/g).join(' ')],
          ['Link for a QR code', totp.uri]
        ],
        fields: [{ name: 'code', label: 'Code', autocomplete: 'one-time-code', hint: '6 digits' }]
      }, ({ code }) => send('/totp/confirm', { code }))

      if (result !== null) {
        await auth.refresh()
        await showRecoveryCodes(result.codes)
        showNotice('Two-step sign-in is on.', true)
      }
    }))

  onClick('new-codes', () =>
    runTask(byId('new-codes'), async () => {
      const result = await sendSensitive('/recovery-codes')

      if (result !== null) {
        await showRecoveryCodes(result.codes)
      }
    }))

  onClick('turn-off', () =>
    runTask(byId('turn-off'), async () => {
      if (await sendSensitive('/totp', undefined, 'DELETE') !== null) {
        await auth.refresh()
        showNotice('Two-step sign-in is off.', true)
      }
    }))
}

/** @param {string[]} codes */
function showRecoveryCodes (codes) {
  return ask({
    title: 'Recovery codes',
    text: 'Save these codes in a safe place. Each of them replaces the authenticator app once. ' +
      'The page does not show them again.',
    button: 'I have saved them',
    details: [['Codes', codes.join('\n')]],
    canCancel: false
  })
}
