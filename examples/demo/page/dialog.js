import { byId } from './elements.js'
import { describeError } from './errors.js'

/**
 * Input of a dialog.
 *
 * @typedef {object} Field
 * @property {string} name
 * @property {string} label
 * @property {string} [type]
 * @property {string} [autocomplete]
 * @property {string} [hint]
 */

/**
 * Question to the user.
 *
 * @typedef {object} Question
 * @property {string} title
 * @property {string} text
 * @property {string} button Label of the button that submits.
 * @property {Field[]} [fields]
 * @property {[string, string][]} [details] Labels and values to copy.
 * @property {boolean} [canCancel]
 * @property {string} [username] Name of the account, for password managers.
 */

/** @type {HTMLDialogElement} */
const dialog = byId('dialog')
/** @type {HTMLFormElement} */
const form = byId('dialog-form')

/**
 * Asks a question in a dialog, until its answer is accepted or the user cancels.
 *
 * @template [Result=void]
 * @param {Question} question
 * @param {(values: Record<string, string>) => Promise<Result>} [submit] Sends the answer. An error
 *   is shown in the dialog, which stays open.
 * @returns {Promise<Result | null>} The result of `submit`; `null` if the user has canceled.
 */
export function ask (question, submit) {
  show(question)

  return new Promise(resolve => {
    /** @type {Result | null} */
    let result = null

    form.onsubmit = async event => {
      event.preventDefault()

      if (form.hasAttribute('aria-busy')) {
        return
      }

      form.setAttribute('aria-busy', 'true')
      byId('dialog-error').textContent = ''

      try {
        const entries = [...new FormData(form)].map(([name, value]) => [name, String(value)])
        result = await submit?.(Object.fromEntries(entries)) ?? null
        dialog.close()
      } catch (error) {
        byId('dialog-error').textContent = describeError(error)
      } finally {
        form.removeAttribute('aria-busy')
      }
    }

    byId('dialog-cancel').onclick = () => {
      dialog.close()
    }

    dialog.onclose = () => {
      // Secrets do not stay in the page.
      form.reset()
      byId('dialog-fields').replaceChildren()
      byId('dialog-details').replaceChildren()
      resolve(result)
    }
  })
}

/** @param {Question} question */
function show ({
  title,
  text,
  button,
  fields = [],
  details = [],
  canCancel = true,
  username = ''
}) {
  byId('dialog-title').textContent = title
  byId('dialog-text').textContent = text
  byId('dialog-submit').textContent = button
  byId('dialog-cancel').hidden = !canCancel
  byId('dialog-error').textContent = ''
  byId('dialog-fields').replaceChildren(...fields.flatMap(createField))
  byId('dialog-username').value = username
  byId('dialog-details').replaceChildren(...details.flatMap(([label, value]) => [
    createElement('dt', label),
    createElement('dd', value)
  ]))
  dialog.showModal()
}

/** @param {Field} field */
function createField ({ name, label, type = 'text', autocomplete = 'off', hint = '' }) {
  const input = document.createElement('input')
  const isNewPassword = autocomplete === 'new-password'
  Object.assign(input, { id: `dialog-${name}`, name, type, autocomplete, required: true })
  input.minLength = isNewPassword ? 8 : 1
  const element = document.createElement('label')
  element.htmlFor = input.id
  element.append(`${label} `, createElement('small', hint))
  return [element, input]
}

/**
 * @param {string} name
 * @param {string} text
 */
function createElement (name, text) {
  const element = document.createElement(name)
  element.textContent = text
  return element
}
