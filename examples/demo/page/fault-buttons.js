import { byId, showResult } from './elements.js'
import { describeRun } from './faults.js'
import { addLogEntry } from './log.js'
import { onClick } from './tasks.js'

/**
 * Connects the buttons that inject faults. Each one makes calls whose token the server rejects.
 *
 * @param {import('./watched-client.js').AuthClient} auth
 * @param {import('./faults.js').Faults} faults
 * @param {import('./tasks.js').RunTask} runTask
 */
export function connectFaults (auth, faults, runTask) {
  const output = byId('fault-result')

  /**
   * @param {Parameters<typeof faults.start>[0]} injected
   * @param {number} calls
   */
  async function injectFaults (injected, calls) {
    showResult(output, 'Running. The activity log shows each step…', 'pending')
    addLogEntry('fault', 'the current access token becomes invalid')
    const run = faults.start(injected)

    try {
      const responses = await Promise.all(
        Array.from({ length: calls }, () => auth.fetch('/protected'))
      )
      const isSuccess = responses.every(({ ok }) => ok)
      showResult(
        output,
        isSuccess ? describeRun(run, calls) : 'A call failed. The activity log shows the reason.',
        isSuccess ? 'success' : 'error'
      )
    } catch (error) {
      showResult(output, 'A call failed.', 'error')
      throw error
    } finally {
      faults.stop()
    }
  }

  /**
   * @param {string} id
   * @param {Parameters<typeof faults.start>[0]} injected
   */
  function onFault (id, injected, calls = 1) {
    // One experiment at a time: a second one would change the result of the first one.
    onClick(id, () => runTask(byId('experiments'), () => injectFaults(injected, calls)))
  }

  onFault('invalid-token', {})
  onFault('lost-response', { losesResponse: true })
  onFault('overload', { overloads: 2 })
  onFault('concurrent-calls', {}, 5)
}
