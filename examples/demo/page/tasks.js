import { byId, showNotice } from './elements.js'
import { describeError } from './errors.js'

/**
 * Runs a task for an element, unless one is running. Shows a failure above the page.
 *
 * @callback RunTask
 * @param {HTMLElement} element Element that is busy meanwhile: a button, or a group of buttons.
 * @param {() => Promise<unknown>} task
 * @returns {Promise<void>}
 */

/**
 * Creates the function that runs the tasks of the page.
 *
 * @param {import('./watched-client.js').AuthClient} auth
 * @returns {RunTask}
 */
export function createTaskRunner (auth) {
  const isSignedIn = () => auth.state.status === 'signed-in'

  return async (element, task) => {
    if (element.hasAttribute('aria-busy')) {
      return
    }

    // A disabled button would lose the focus.
    element.setAttribute('aria-busy', 'true')
    showNotice('')
    const wasSignedIn = isSignedIn()

    try {
      await task()
    } catch (error) {
      // After a sign-out, the page has shown the reason.
      if (!wasSignedIn || isSignedIn()) {
        showNotice(describeError(error))
      }
    } finally {
      element.removeAttribute('aria-busy')
    }
  }
}

/**
 * Calls a listener when a button is pressed.
 *
 * @param {string} id
 * @param {() => unknown} listener
 */
export function onClick (id, listener) {
  byId(id).addEventListener('click', listener)
}
