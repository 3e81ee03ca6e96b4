/**
 * Returns an element without its type, which the caller declares.
 *
 * @param {string} id
 * @returns {any}
 */
export function byId (id) {
  return document.getElementById(id)
}

/**
 * Clones the element of a template, and finds elements in the clone.
 *
 * @param {string} id
 * @param {string[]} selectors
 * @returns {any[]}
 */
export function cloneTemplate (id, ...selectors) {
  const clone = byId(id).content.firstElementChild.cloneNode(true)
  return [clone, ...selectors.map(selector => clone.querySelector(selector))]
}

/**
 * Shows a message above the page.
 *
 * @param {string} message An empty string hides it.
 */
export function showNotice (message, isInfo = false) {
  const notice = byId('notice')
  notice.textContent = message
  notice.classList.toggle('info', isInfo)
}

/**
 * Shows the result of a button.
 *
 * @param {HTMLElement} output
 * @param {string} message
 * @param {'success' | 'error' | 'pending'} kind
 */
export function showResult (output, message, kind) {
  output.textContent = message
  output.classList.toggle('success', kind === 'success')
  output.classList.toggle('error', kind === 'error')
}
