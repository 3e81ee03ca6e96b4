// Connects the page to the client. All values are set as text, so that markup in a name has no
// effect.

/* global ResizeObserver */

import { createWatchedClient } from './watched-client.js'

const CALL_INTERVAL = 5000
const MAX_LOG_ENTRIES = 300
/** Fraction of its lifetime at which the client refreshes a token. */
const REFRESH_THRESHOLD = 1 / 5

/**
 * Returns an element without its type, which the caller declares.
 * @param {string} id
 * @returns {any}
 */
const byId = id => document.getElementById(id)

/** @type {HTMLElement} */
const signedOut = byId('signed-out')
/** @type {HTMLElement} */
const signedIn = byId('signed-in')
/** @type {HTMLElement} */
const notice = byId('notice')
/** @type {HTMLElement} */
const log = byId('log')
/** @type {HTMLElement} */
const entries = byId('entries')
/** @type {HTMLElement} */
const devices = byId('devices')
/** @type {HTMLFormElement} */
const form = byId('credentials')
/** @type {HTMLInputElement} */
const repeat = byId('repeat')

/** @type {import('./watched-client.js').TokenFacts | null} */
let token = null
/** Whether this tab is logging out. */
let isLoggingOut = false
/** @type {string | undefined} */
let shownName

const { auth, faults } = createWatchedClient(addLogEntry, facts => {
  token = facts
})

// --- Log and messages

/**
 * @param {import('./watched-client.js').LogKind} kind
 * @param {string} message
 */
function addLogEntry (kind, message, detail = '', isError = false) {
  const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40
  const [entry, time, label, messageElement, detailElement] = cloneTemplate(
    'entry',
    'time',
    'b',
    'span',
    'small'
  )
  entry.classList.add(kind)
  entry.classList.toggle('error', isError)
  time.textContent = new Date().toTimeString().slice(0, 8)
  label.textContent = kind
  messageElement.textContent = message
  detailElement.textContent = detail
  entries.append(entry)

  if (entries.childElementCount > MAX_LOG_ENTRIES) {
    entries.firstElementChild?.remove()
  }

  if (isAtEnd) {
    log.scrollTop = log.scrollHeight
  }
}

/**
 * Clones the element of a template, and finds elements in the clone.
 * @param {string} id
 * @param {string[]} selectors
 * @returns {any[]}
 */
function cloneTemplate (id, ...selectors) {
  const clone = byId(id).content.firstElementChild.cloneNode(true)
  return [clone, ...selectors.map(selector => clone.querySelector(selector))]
}

/** @param {string} message */
function showNotice (message, isInfo = false) {
  notice.textContent = message
  notice.classList.toggle('info', isInfo)
}

/**
 * @param {HTMLOutputElement} output
 * @param {string} message
 */
function showResult (output, message, isSuccess = true) {
  output.textContent = message
  output.classList.toggle('success', isSuccess)
  output.classList.toggle('error', !isSuccess)
}

/** @type {Partial<Record<string, string>>} */
const messagesByCode = {
  AUTH_CREDENTIALS_REJECTED: 'Name or password is wrong.',
  AUTH_TOO_MANY_ATTEMPTS: 'Too many wrong passwords.',
  AUTH_REFRESH_REVOKED: 'This session was revoked, by another device or by the server.',
  AUTH_REFRESH_EXPIRED: 'This session has expired. Please sign in again.',
  AUTH_REFRESH_REUSED:
    'This session was revoked, because another client presented an outdated token.',
  AUTH_REFRESH_MISSING: 'The browser did not save the cookie. Safari rejects it over http: ' +
    'start the demo with COOKIE_SECURE=false.',
  network: 'The server does not respond. Is it still running?',
  'signed-out': 'You were signed out in the meantime.'
}

/** @param {unknown} error */
function describeError (error) {
  const { code = '', message, retryAfter } =
    /** @type {Error & { code?: string, retryAfter?: number }} */ (error)
  const isNetworkError = error instanceof TypeError
  const text = messagesByCode[code] ?? (isNetworkError ? messagesByCode.network : message) ?? ''
  return retryAfter ? `${text} Try again in ${retryAfter} s.` : text
}

/**
 * Runs a task for an element, unless one is running. A disabled button would lose the focus, so
 * that `aria-busy` marks it instead.
 * @param {HTMLElement} element
 * @param {() => Promise<unknown>} task
 */
async function runTask (element, task) {
  if (element.hasAttribute('aria-busy')) {
    return
  }

  element.setAttribute('aria-busy', 'true')
  showNotice('')
  const { status } = auth.state

  try {
    await task()
  } catch (error) {
    // After a sign-out, showState has shown the reason.
    if (status !== 'signed-in' || auth.state.status !== 'signed-out') {
      showNotice(describeError(error))
    }
  } finally {
    element.removeAttribute('aria-busy')
  }
}

/**
 * @param {string} id
 * @param {() => Promise<unknown>} task
 */
function onClick (id, task) {
  const button = byId(id)
  button.addEventListener('click', () => {
    void runTask(button, task)
  })
}

// --- Sign in and out

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
  signedOut.hidden = status !== 'signed-out'
  signedIn.hidden = !isSignedIn

  if (isSignedIn && !wasSignedIn) {
    showNotice('')
    form.reset()
    byId('token-title').focus()
  }

  if (isSignedIn && (!wasSignedIn || name !== shownName)) {
    void runTask(devices, listDevices)
  }

  shownName = name

  if (status === 'signed-out') {
    token = null
    repeat.checked = false
    devices.replaceChildren()

    if (wasSignedIn) {
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
  }
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

/** @param {() => Promise<void>} logout */
async function signOut (logout) {
  isLoggingOut = true
  await logout().finally(() => {
    isLoggingOut = false
  })
}

onClick('sign-out', () => signOut(auth.logout))
onClick('sign-out-everywhere', () => signOut(auth.logoutEverywhere))

// --- Access token and calls

function showToken () {
  const remaining = token ? Math.max(0, token.expiresAt - performance.now()) : 0
  const lifetime = token?.lifetime ?? 1
  const isDue = remaining <= lifetime * REFRESH_THRESHOLD
  byId('generation').textContent = token ? `generation ${token.generation}` : ''
  byId('remaining').textContent = token ? `${Math.ceil(remaining / 1000)} s` : '–'
  byId('lifetime').textContent = describeLifetime(remaining, lifetime, isDue)
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
  if (!token) {
    return 'There is no token yet.'
  }

  if (remaining === 0) {
    return 'The token has expired. The next call refreshes it first.'
  }

  const left = `left of ${lifetime / 1000} s`
  return isDue ? `${left}. The next call also refreshes it.` : left
}

setInterval(showToken, 200)

/** @param {string} path */
async function call (path) {
  const response = await auth.fetch(path)
  const body = await response.json()
  showResult(
    byId('call-result'),
    `${response.status}: ${body.message ?? Object.entries(body).flat().join(' ')}`,
    response.ok
  )
}

function callIfRepeating () {
  if (repeat.checked) {
    void runTask(repeat, () => call('/protected'))
  }
}

onClick('call', () => call('/protected'))
onClick('call-admin', () => call('/admin'))
setInterval(callIfRepeating, CALL_INTERVAL)
repeat.addEventListener('change', callIfRepeating)

// --- Faults

/**
 * Makes calls with an invalid token, while other faults are injected.
 * @param {Partial<typeof faults>} otherFaults
 * @param {string} successMessage
 */
async function injectFaults (otherFaults, successMessage, calls = 1) {
  const output = byId('fault-result')
  showResult(output, 'Watch the log…')
  addLogEntry('fault', 'replaces the token with an invalid one')
  Object.assign(faults, { hasInvalidToken: true, ...otherFaults })

  try {
    const responses = await Promise.all(
      Array.from({ length: calls }, () => auth.fetch('/protected'))
    )
    const isSuccess = responses.every(({ ok }) => ok)
    showResult(output, isSuccess ? successMessage : 'A call failed: see the log.', isSuccess)
  } finally {
    Object.assign(faults, { hasInvalidToken: false, losesResponse: false, overloads: 0 })
  }
}

onClick('invalid-token', () =>
  injectFaults(
    {},
    'The server rejected the call. The client refreshed the token and repeated the call: 200.'
  ))
onClick('lost-response', () =>
  injectFaults(
    { losesResponse: true },
    'The client refreshed again and got the same successor. The call succeeded: 200.'
  ))
onClick('overload', () =>
  injectFaults(
    { overloads: 2 },
    'The client waited for Retry-After. The call succeeded: 200.'
  ))
onClick(
  'concurrent-calls',
  () => injectFaults({}, 'Five calls, one refresh, five responses with 200.', 5)
)

// --- Devices

async function listDevices () {
  const sessions = await auth.sessions()
  devices.replaceChildren(...sessions.map(createDeviceRow))
}

/** @param {Awaited<ReturnType<typeof auth.sessions>>[number]} session */
function createDeviceRow (session) {
  const { id, current, device, ip, user_agent: agent, last_used_at: lastUsedAt } = session
  const [row, name, badge, facts] = cloneTemplate('device-row', 'strong', '.badge', 'small')
  name.textContent = device ?? describeAgent(agent)
  badge.hidden = !current
  facts.textContent = [
    device && describeAgent(agent),
    ip,
    `last used ${new Date(lastUsedAt).toLocaleTimeString()}`
  ].filter(Boolean).join(' · ')
  const button = /** @type {HTMLButtonElement} */ (row.querySelector('button'))
  button.hidden = current
  button.setAttribute('aria-label', `Sign out ${name.textContent}`)
  button.addEventListener('click', () => {
    void runTask(button, async () => {
      await auth.endSession(id)
      await listDevices()
      byId('devices-title').focus()
      showNotice(`${name.textContent} is signed out.`, true)
    })
  })
  return row
}

/** @param {string | null} agent User agent of a session. */
function describeAgent (agent) {
  const browser = /Firefox|Edg|Chrome|Safari|curl|node/.exec(agent ?? '')?.[0].replace(
    'Edg',
    'Edge'
  )
  const system = /Android|iPhone|iPad|Mac|Windows|Linux/.exec(agent ?? '')?.[0]
  return [browser ?? 'Unknown program', system].filter(Boolean).join(' on ')
}

onClick('reload', listDevices)
onClick('sign-out-others', async () => {
  await auth.endOtherSessions()
  await listDevices()
  showNotice('All other devices are signed out.', true)
})

new ResizeObserver(() => {
  log.scrollTop = log.scrollHeight
}).observe(log)
byId('clear').addEventListener('click', () => {
  entries.replaceChildren()
})
