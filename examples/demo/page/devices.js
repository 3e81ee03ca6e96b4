import { byId, cloneTemplate, showNotice } from './elements.js'
import { onClick } from './tasks.js'

/**
 * Connects the list of devices, which are the sessions of the user.
 *
 * @param {import('./watched-client.js').AuthClient} auth
 * @param {import('./tasks.js').RunTask} runTask
 * @returns Functions that load and clear the list.
 */
export function connectDevices (auth, runTask) {
  /** @type {HTMLElement} */
  const devices = byId('devices')

  async function load () {
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
        await load()
        byId('devices-title').focus()
        showNotice(`${name.textContent} is signed out.`, true)
      })
    })
    return row
  }

  onClick('reload', () => runTask(byId('reload'), load))
  onClick('sign-out-others', () =>
    runTask(byId('sign-out-others'), async () => {
      await auth.endOtherSessions()
      await load()
      showNotice('All other devices are signed out.', true)
    }))

  return {
    load: () => runTask(devices, load),
    clear: () => devices.replaceChildren()
  }
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
