import { ask } from './dialog.js'

/** @typedef {import('./watched-client.js').AuthClient} AuthClient */

/** Code of an authenticator app. Recovery codes have letters. */
const TOTP = /^\d{6}$/

const codeField = {
  name: 'code',
  label: 'Code',
  autocomplete: 'one-time-code',
  hint: 'of your authenticator app, or a recovery code'
}

/**
 * Creates the requests of the account page.
 *
 * @param {AuthClient} auth
 */
export function createAccountRequests (auth) {
  /**
   * Sends JSON to a route, and returns the JSON of the response.
   *
   * @param {string} path
   * @param {object} [body]
   * @returns {Promise<any>}
   */
  async function send (path, body, method = 'POST') {
    const response = await auth.fetch(path, createInit(body, method))
    const result = await response.json().catch(() => ({}))

    if (!response.ok) {
      throw Object.assign(new Error(result.message ?? `status ${response.status}`), {
        code: result.code,
        retryAfter: Number(response.headers.get('retry-after'))
      })
    }

    return result
  }

  /**
   * Signs in, and asks for the second factor if the server requires one.
   *
   * @param {() => Promise<unknown>} login
   */
  async function signIn (login) {
    try {
      await login()
    } catch (error) {
      const { secondFactor } = /** @type {{ secondFactor?: { ticket?: string } }} */ (error)

      if (!secondFactor) {
        throw explainRejection(error, 'The address or the password is wrong.')
      }

      await ask({
        title: 'Second step',
        text: 'The first step is done. Now enter a code.',
        button: 'Sign in',
        fields: [codeField]
      }, ({ code = '' }) => adopt('/auth/login/second', { ...secondFactor, ...readCode(code) }))
    }
  }

  /**
   * Signs in with a route that returns tokens.
   *
   * @param {string} path
   * @param {object} body
   */
  async function adopt (path, body) {
    await auth.adopt(fetch => fetch(path, createInit(body)))
  }

  /**
   * Sends a sensitive request. If the login is too old, asks for the password and repeats it.
   *
   * @param {string} path
   * @param {object} [body]
   * @returns {Promise<any>} The JSON of the response; `null` if the user has canceled.
   */
  async function sendSensitive (path, body, method = 'POST') {
    try {
      return await send(path, body, method)
    } catch (error) {
      if (/** @type {{ code?: string }} */ (error).code !== 'AUTH_REAUTHENTICATION_REQUIRED') {
        throw error
      }

      return await confirmIdentity() ? send(path, body, method) : null
    }
  }

  /** Asks for the password again, and for a code if two-step sign-in is on. */
  async function confirmIdentity () {
    const { username, hasSecondFactor } =
      /** @type {import('./account.js').DemoUser} */ (auth.state.user)
    const password = {
      name: 'password',
      label: 'Password',
      type: 'password',
      autocomplete: 'current-password'
    }

    return ask({
      title: 'Confirm that it is you',
      text: 'This action needs a recent sign-in with your password.',
      button: 'Confirm',
      username,
      fields: hasSecondFactor ? [password, codeField] : [password]
    }, async ({ password = '', code }) => {
      await auth.elevate(code === undefined ? { password } : { password, ...readCode(code) })
        .catch(error => {
          throw explainRejection(error, 'The password is wrong.')
        })
      return true
    })
  }

  return { send, signIn, adopt, sendSensitive }
}

/**
 * Replaces the error for a rejected password.
 *
 * @param {unknown} error
 * @param {string} message
 */
function explainRejection (error, message) {
  const { code } = /** @type {{ code?: string }} */ (error)
  return code === 'AUTH_CREDENTIALS_REJECTED' ? new Error(message) : error
}

/** @param {string} typed */
function readCode (typed) {
  const code = typed.trim().replaceAll(/^(\d{3}) (\d{3})$/g, '$1$2')
  return { method: TOTP.test(code) ? 'totp' : 'recovery', code }
}

/**
 * @param {object | undefined} body
 * @returns {RequestInit}
 */
function createInit (body, method = 'POST') {
  return body === undefined
    ? { method }
    : { method, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
}
