import { byId, showResult } from './elements.js'
import { onClick } from './tasks.js'
import { describeRefreshes } from './watched-client.js'

const CALL_INTERVAL = 5000
/** Fraction of its lifetime at which the client refreshes a token. */
const REFRESH_THRESHOLD = 1 / 5

/**
 * Connects the remaining lifetime of the access token, and the buttons that call routes with it.
 *
 * @param {import('./watched-client.js').AuthClient} auth
 * @param {() => import('./watched-client.js').TokenFacts | null} getToken
 * @param {import('./tasks.js').RunTask} runTask
 */
export function connectAccessToken (auth, getToken, runTask) {
  /** @type {HTMLInputElement} */
  const repeat = byId('repeat')

  /** @param {string} path */
  async function call (path) {
    const response = await auth.fetch(path)
    const body = await response.json()
    showResult(
      byId('call-result'),
      `${response.status}: ${body.message ?? Object.entries(body).flat().join(' ')}`,
      response.ok ? 'success' : 'error'
    )
  }

  function callIfRepeating () {
    // An experiment counts the calls and refreshes of its own.
    const isExperimenting = byId('experiments').hasAttribute('aria-busy')

    if (repeat.checked && !isExperimenting && auth.state.status === 'signed-in') {
      void runTask(repeat, () => call('/protected'))
    }
  }

  onClick('call', () => runTask(byId('call'), () => call('/protected')))
  onClick('call-admin', () => runTask(byId('call-admin'), () => call('/admin')))
  repeat.addEventListener('change', callIfRepeating)
  setInterval(callIfRepeating, CALL_INTERVAL)
  setInterval(() => showToken(getToken()), 200)
}

/** @param {import('./watched-client.js').TokenFacts | null} token */
function showToken (token) {
  const remaining = token ? Math.max(0, token.expiresAt - performance.now()) : 0
  const lifetime = token?.lifetime ?? 1
  const isDue = remaining <= lifetime * REFRESH_THRESHOLD
  byId('generation').textContent = token ? describeRefreshes(token.generation) : ''
  byId('remaining').textContent = token ? `${Math.ceil(remaining / 1000)} s` : '–'
  byId('lifetime').textContent = token
    ? describeLifetime(remaining, lifetime, isDue)
    : 'There is no token yet.'
  const bar = byId('bar')
  bar.value = remaining / lifetime
  bar.classList.toggle('due', isDue)
}

/**
 * @param {number} remaining
 * @param {number} lifetime
 * @param {boolean} isDue
 */
function describeLifetime (remaining, lifetime, isDue) {
  if (remaining === 0) {
    return 'The token has expired. The next call refreshes it first.'
  }

  const left = `left of ${lifetime / 1000} s`
  return isDue ? `${left}. The next call also refreshes it.` : left
}
