// Shows the mails of the server. All values are set as text.

import { byId, cloneTemplate, showNotice } from './elements.js'
import { describeError } from './errors.js'

const POLL_INTERVAL = 1000
let shownCount = -1

/** @typedef {{ to: string, subject: string, text: string, sentAt: string }} Mail */

/** @param {Mail} mail */
function createItem ({ to, subject, text, sentAt }) {
  const [item, title, time, address, body] = cloneTemplate('mail', 'h3', 'time', 'small', 'p')
  title.textContent = subject
  time.textContent = new Date(sentAt).toLocaleTimeString()
  address.textContent = `To ${to}`
  body.append(
    ...text.split(/(https?:\/\/\S+)/).map((part, index) =>
      index % 2 === 1 ? createLink(part, subject) : part
    )
  )
  return item
}

/**
 * @param {string} url
 * @param {string} subject
 */
function createLink (url, subject) {
  const link = document.createElement('a')
  link.href = url
  // The token is long, and of no interest to a reader.
  link.textContent = url.replace(/=.*/, '=…')
  link.ariaLabel = subject
  link.target = '_blank'
  link.rel = 'noopener'
  return link
}

async function load () {
  try {
    const response = await fetch('/mails.json')
    /** @type {{ mails: Mail[] | null }} */
    const { mails } = await response.json()
    showNotice('')

    if (mails === null) {
      byId('empty').textContent = 'A mail server sends the mails, as SMTP_URL says.'
    } else if (mails.length !== shownCount) {
      shownCount = mails.length
      byId('empty').hidden = mails.length > 0
      byId('mails').replaceChildren(...mails.map(createItem))
    }
  } catch (error) {
    showNotice(describeError(error))
  }

  setTimeout(load, POLL_INTERVAL)
}

void load()
