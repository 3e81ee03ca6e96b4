// The page: what a visitor does, done by the package's client, and what the client does, shown. All that is shown is set as
// text, so that names which look like markup are only names.

/* global ResizeObserver */

import { watchClient } from './watched-client.js'

const EVERY = 5000
const LONGEST_LOG = 300
/** The client refreshes with a call, once no more than this is left of a token; up to half as much earlier, by chance. */
const DUE = 1 / 5

/**
 * Any element: what it is, is said where it is used.
 * @param {string} id
 * @returns {any}
 */
const byId = id => document.getElementById(id)

/** @type {Record<'signedOut' | 'signedIn' | 'notice' | 'log' | 'entries' | 'devices', HTMLElement>} */
const { signedOut, signedIn, notice, log, entries, devices } = {
  signedOut: byId('signed-out'),
  signedIn: byId('signed-in'),
  notice: byId('notice'),
  log: byId('log'),
  entries: byId('entries'),
  devices: byId('devices')
}
/** @type {HTMLFormElement} */
const form = byId('credentials')
/** @type {HTMLInputElement} */
const repeat = byId('repeat')

/** @type {import('./watched-client.js').TokenFacts | null} */
let token = null
/** Whether it is this tab that signs out. */
let isLeaving = false
/** @type {string | undefined} */
let shownName

const { auth, trouble } = watchClient(tell, facts => {
  token = facts
})

// --- What happens

/**
 * @param {import('./watched-client.js').Kind} kind
 * @param {string} text
 */
function tell (kind, text, detail = '', isBad = false) {
  const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40
  const [entry, time, label, words, more] = copyOf('entry', 'time', 'b', 'span', 'small')
  entry.classList.add(kind)
  entry.classList.toggle('bad', isBad)
  time.textContent = new Date().toTimeString().slice(0, 8)
  label.textContent = kind
  words.textContent = text
  more.textContent = detail
  entries.append(entry)

  if (entries.childElementCount > LONGEST_LOG) {
    entries.firstElementChild?.remove()
  }

  if (isAtEnd) {
    log.scrollTop = log.scrollHeight
  }
}

/**
 * A copy of a template's one element, and parts of it.
 * @param {string} id
 * @param {string[]} selectors
 * @returns {any[]}
 */
function copyOf (id, ...selectors) {
  const copy = byId(id).content.firstElementChild.cloneNode(true)
  return [copy, ...selectors.map(selector => copy.querySelector(selector))]
}

/** @param {string} text */
function say (text, isCalm = false) {
  notice.textContent = text
  notice.classList.toggle('calm', isCalm)
}

/**
 * @param {HTMLOutputElement} output
 * @param {string} text
 */
function put (output, text, isGood = true) {
  output.textContent = text
  output.classList.toggle('good', isGood)
  output.classList.toggle('bad', !isGood)
}

/** @type {Partial<Record<string, string>>} */
const wordsOf = {
  AUTH_CREDENTIALS_REJECTED: 'That name and password do not belong together.',
  AUTH_TOO_MANY_ATTEMPTS: 'Too many wrong passwords.',
  AUTH_REFRESH_REVOKED: 'This session was ended, on another device or by the server.',
  AUTH_REFRESH_EXPIRED: 'This session has run out. Please sign in again.',
  AUTH_REFRESH_REUSED:
    'Somebody else holds a copy of this session’s token, so the session was ended.',
  AUTH_REFRESH_MISSING:
    'The browser has not kept the cookie. Safari keeps none over http: start the demo with COOKIE_SECURE=false.',
  network: 'The server does not answer. Is it still running?',
  'signed-out': 'You have been signed out meanwhile.'
}

/** @param {unknown} error */
function explain (error) {
  const { code = '', message, retryAfter } =
    /** @type {Error & { code?: string, retryAfter?: number }} */ (error)
  const words = wordsOf[code] ?? (error instanceof TypeError ? wordsOf.network : message) ?? ''
  return retryAfter ? `${words} Try again in ${retryAfter} s.` : words
}

/**
 * Does one thing at a time for a button. It is not disabled meanwhile, since it would lose the focus.
 * @param {HTMLElement} button
 * @param {() => Promise<unknown>} work
 */
async function during (button, work) {
  if (button.hasAttribute('aria-busy')) {
    return
  }

  button.setAttribute('aria-busy', 'true')
  say('')
  const { status } = auth.state

  try {
    await work()
  } catch (error) {
    // Why somebody is no longer signed in has been said.
    if (status !== 'signed-in' || auth.state.status !== 'signed-out') {
      say(explain(error))
    }
  } finally {
    button.removeAttribute('aria-busy')
  }
}

/**
 * @param {string} id
 * @param {() => Promise<unknown>} work
 */
function onClick (id, work) {
  const button = byId(id)
  button.addEventListener('click', () => {
    void during(button, work)
  })
}

// --- Who is signed in

/** @param {import('fastify-token-auth/client').AuthState} state */
function showState ({ status, user, reason }) {
  const isIn = status === 'signed-in'
  const name = /** @type {{ username?: string } | null} */ (user)?.username
  const badge = byId('state')
  badge.textContent = isIn
    ? `Signed in${name ? ` as ${name}` : ''}`
    : status === 'starting'
    ? 'One moment…'
    : 'Signed out'
  badge.classList.toggle('in', isIn)
  const wasIn = !signedIn.hidden
  signedOut.hidden = status !== 'signed-out'
  signedIn.hidden = !isIn

  if (isIn && !wasIn) {
    say('')
    form.reset()
    byId('token-title').focus()
  }

  if (isIn && (!wasIn || name !== shownName)) {
    void during(devices, listDevices)
  }

  shownName = name

  if (status === 'signed-out') {
    token = null
    repeat.checked = false
    devices.replaceChildren()

    if (wasIn) {
      if (reason === 'logout') {
        say(isLeaving ? 'You have signed out.' : 'You have signed out in another tab.', true)
      } else if (reason) {
        say(explain({ code: reason }))
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
  void during(form, async () => {
    const { username, password, device, remember_me: remember } = Object.fromEntries(
      new FormData(form)
    )

    if (button.id === 'sign-up') {
      await signUp({ username, password })
    }

    await auth.login({
      username,
      password,
      remember_me: remember === 'on',
      ...(device && { device })
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
  tell('request', `PUT /register → ${response.status}`, '', !response.ok)

  if (response.status === 409) {
    throw new Error('That name is taken. Is it yours? Then sign in.')
  }

  if (!response.ok) {
    throw new Error('The server does not take that name and password.')
  }
}

/** @param {() => Promise<void>} logout */
async function leave (logout) {
  isLeaving = true
  await logout().finally(() => {
    isLeaving = false
  })
}

onClick('sign-out', () => leave(auth.logout))
onClick('sign-out-everywhere', () => leave(auth.logoutEverywhere))

// --- The access token, and calls

setInterval(() => {
  const left = token ? Math.max(0, token.endsAt - performance.now()) : 0
  const life = token?.life ?? 1
  const isDue = left <= life * DUE
  byId('generation').textContent = token ? `generation ${token.generation}` : ''
  byId('left').textContent = token ? `${Math.ceil(left / 1000)} s` : '–'
  byId('life').textContent = !token
    ? 'There is none yet.'
    : left === 0
    ? 'It has ended: a call will refresh it first.'
    : isDue
    ? `left of ${life / 1000} s: the next call will refresh it too`
    : `left of ${life / 1000} s`
  const bar = byId('bar')
  bar.value = left / life
  bar.classList.toggle('due', isDue)
}, 200)

/** @param {string} path */
async function call (path) {
  const response = await auth.fetch(path)
  const body = await response.json()
  put(
    byId('call-result'),
    `${response.status}: ${body.message ?? Object.entries(body).flat().join(' ')}`,
    response.ok
  )
}

onClick('call', () => call('/protected'))
onClick('call-admin', () => call('/admin'))
setInterval(() => {
  if (repeat.checked) {
    void during(repeat, () => call('/protected'))
  }
}, EVERY)
repeat.addEventListener('change', () => {
  if (repeat.checked) {
    void during(repeat, () => call('/protected'))
  }
})

// --- Trouble

/**
 * Makes calls with a token that the server refuses, and more trouble on top.
 * @param {Partial<typeof trouble>} more
 * @param {string} outcome
 */
async function makeTrouble (more, outcome, calls = 1) {
  put(byId('trouble-result'), 'Watch the log…')
  tell('trouble', 'spoils the token on its way')
  Object.assign(trouble, { spoilt: true, ...more })

  try {
    const answers = await Promise.all(Array.from({ length: calls }, () => auth.fetch('/protected')))
    const isGood = answers.every(({ ok }) => ok)
    put(byId('trouble-result'), isGood ? outcome : 'This did not go well: see the log.', isGood)
  } finally {
    Object.assign(trouble, { spoilt: false, lost: false, busy: 0 })
  }
}

onClick(
  'spoil',
  () =>
    makeTrouble({}, 'The call was refused, the token refreshed, and the call sent once more: 200.')
)
onClick(
  'lose',
  () =>
    makeTrouble(
      { lost: true },
      'It asked again, and was given the same successor. The call came through: 200.'
    )
)
onClick(
  'busy',
  () => makeTrouble({ busy: 2 }, 'It waited as it was told to, and the call came through: 200.')
)
onClick('stampede', () => makeTrouble({}, 'Five calls, one refresh, five times 200.', 5))

// --- Devices

async function listDevices () {
  const sessions = await auth.sessions()
  devices.replaceChildren(...sessions.map(session => {
    const { id, current, device, ip, user_agent: agent, last_used_at: used } = session
    const [row, name, badge, facts] = copyOf('device-row', 'strong', '.badge', 'small')
    name.textContent = device ?? nameOf(agent)
    badge.hidden = !current
    facts.textContent = [
      device && nameOf(agent),
      ip,
      `last seen ${new Date(used).toLocaleTimeString()}`
    ].filter(Boolean).join(' · ')
    const button = /** @type {HTMLButtonElement} */ (row.querySelector('button'))
    button.hidden = current
    button.setAttribute('aria-label', `Sign out ${name.textContent}`)
    button.addEventListener('click', () => {
      void during(button, async () => {
        await auth.endSession(id)
        await listDevices()
        byId('devices-title').focus()
        say(`${name.textContent} is signed out.`, true)
      })
    })
    return row
  }))
}

/** @param {string | null} agent What a program says of itself. */
function nameOf (agent) {
  const browser = /Firefox|Edg|Chrome|Safari|curl|node/.exec(agent ?? '')?.[0].replace(
    'Edg',
    'Edge'
  )
  const system = /Android|iPhone|iPad|Mac|Windows|Linux/.exec(agent ?? '')?.[0]
  return [browser ?? 'Something', system].filter(Boolean).join(' on ')
}

onClick('reload', listDevices)
onClick('sign-out-others', async () => {
  await auth.endOtherSessions()
  await listDevices()
  say('All other devices are signed out.', true)
})

new ResizeObserver(() => {
  log.scrollTop = log.scrollHeight
}).observe(log)
byId('clear').addEventListener('click', () => {
  entries.replaceChildren()
})
