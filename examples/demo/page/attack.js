import { byId, showResult } from './elements.js'
import { addLogEntry } from './log.js'
import { onClick } from './tasks.js'

/** @typedef {{ id: string, grace: number }} Theft */

/**
 * @typedef {object} AttackerResponse
 * @property {number} status
 * @property {string | null} code
 * @property {boolean} isSameToken Whether the attacker got the token that it had presented.
 */

/** Four turns are enough, even if another tab refreshes meanwhile. */
const MAX_TURNS = 6
/** Time after the grace period in milliseconds, so that it is over for the server, too. */
const MARGIN = 200

/**
 * Connects the button that lets an attacker steal the refresh token.
 *
 * The server plays the attacker: see `attacker.ts`. Both sides take turns with the same session,
 * until one of them presents a token that the other side has replaced.
 *
 * @param {import('./watched-client.js').AuthClient} auth
 * @param {import('./tasks.js').RunTask} runTask
 */
export function connectAttack (auth, runTask) {
  /** @type {HTMLElement} */
  const report = byId('attack-report')
  /** @type {HTMLElement} */
  const steps = byId('attack-steps')
  const result = byId('attack-result')
  const details = byId('attack-event')

  /** @param {string} message */
  function addStep (message) {
    const step = document.createElement('li')
    step.textContent = message
    steps.append(step)
  }

  async function attack () {
    report.hidden = false
    details.hidden = true
    steps.replaceChildren()
    showResult(result, 'The attack is running.', 'pending')
    byId('attack-report-title').focus()

    try {
      await takeTurns()
    } catch (error) {
      showResult(result, 'The attack was interrupted.', 'error')
      throw error
    }
  }

  async function takeTurns () {
    /** @type {Theft} */
    const { id, grace } = await request('POST', '/attacker')
    addStep('The attacker copied the refresh token of this browser.')
    let isAttackersTurn = true

    for (let turn = 0; turn < MAX_TURNS; turn++) {
      if (isAttackersTurn) {
        const response = await refreshAsAttacker(id)

        if (response.status !== 200) {
          addStep(
            'The attacker used the copy again, but this browser had refreshed since then. So the ' +
              `copy was outdated: ${response.status} ${response.code}.`
          )
          await auth.refresh()
          return showEnd(id)
        }

        addStep(
          response.isSameToken
            ? 'The attacker used the copy. This browser had refreshed a moment before, so the ' +
              'server returned the same token again. The attacker waits.'
            : 'The attacker used the copy. The server issued a new access token and a new ' +
              'refresh token to the attacker, and a call with them succeeded.'
        )
        isAttackersTurn = response.isSameToken
      } else {
        const { status, reason } = await auth.refresh()

        if (status === 'signed-out') {
          addStep(
            reason === 'logout'
              ? 'You signed out. That revoked the session.'
              : 'This browser refreshed with its own refresh token, which was outdated by now: ' +
                `401 ${reason}.`
          )
          const { status, code } = await refreshAsAttacker(id)
          addStep(`The attacker used its new refresh token: ${status} ${code}.`)
          return showEnd(id)
        }

        // The server then knows that the new tokens have arrived.
        await auth.fetch('/protected')
        addStep('This browser refreshed and got new tokens. The attacker does not have them.')
        isAttackersTurn = true
      }

      await waitForGrace(grace + MARGIN)
    }

    throw new Error('The server did not detect the attack.')
  }

  /** @param {number} grace */
  async function waitForGrace (grace) {
    const endsAt = performance.now() + grace

    while (performance.now() < endsAt && auth.state.status === 'signed-in') {
      const remaining = endsAt - performance.now()
      showResult(
        result,
        'For a moment after a refresh, the server also accepts the previous token, because two ' +
          `tabs may refresh concurrently. The page waits: ${Math.ceil(remaining / 1000)} s left.`,
        'pending'
      )
      await new Promise(resolve => {
        setTimeout(resolve, Math.min(remaining, 250))
      })
    }
  }

  /** @param {string} id */
  async function showEnd (id) {
    const { event } = await request('GET', `/attacker/${id}`)

    if (event === null) {
      showResult(result, 'The session was revoked before the attack was detected.', 'pending')
      return
    }

    showResult(
      result,
      'The server detected that two sides use one session. It cannot know which side is the ' +
        'attacker, so it revoked the session. Both sides are signed out, and the stolen token is ' +
        'useless.',
      'success'
    )
    byId('attack-event-json').textContent = JSON.stringify(event, null, 2)
    details.hidden = false
  }

  onClick('attack', () => runTask(byId('experiments'), attack))
  onClick('close-attack', () => {
    report.hidden = true
  })
}

/**
 * @param {string} id
 * @returns {Promise<AttackerResponse>}
 */
function refreshAsAttacker (id) {
  return request('POST', `/attacker/${id}/refresh`)
}

/**
 * Sends a request to the routes of the attacker.
 *
 * @param {string} method
 * @param {string} path
 * @returns {Promise<any>} Body of the response.
 */
async function request (method, path) {
  const response = await fetch(path, { method })
  const body = await response.json()

  if (!response.ok) {
    throw new Error(body.message)
  }

  if (method === 'POST') {
    addLogEntry(
      'attack',
      'isSameToken' in body
        ? `attacker: POST /auth/refresh → ${body.status}`
        : 'attacker: copies the refresh token',
      body.code ?? ''
    )
  }

  return body
}
