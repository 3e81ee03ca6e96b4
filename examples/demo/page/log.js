/* global ResizeObserver */

import { byId, cloneTemplate } from './elements.js'

const MAX_LOG_ENTRIES = 300

/** @type {HTMLElement} */
const log = byId('log')
/** @type {HTMLElement} */
const entries = byId('entries')

/** Appends an entry to the log of the page, and scrolls to it if the log is at its end. */
export function addLogEntry (
  /** @type {import('./watched-client.js').LogKind} */ kind,
  /** @type {string} */ message,
  detail = '',
  isError = false
) {
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

new ResizeObserver(() => {
  log.scrollTop = log.scrollHeight
}).observe(log)
byId('clear').addEventListener('click', () => {
  entries.replaceChildren()
})
