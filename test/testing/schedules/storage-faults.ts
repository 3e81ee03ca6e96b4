import type { Random } from '../../../src/testing/index.js'
import { SECOND } from '../../helpers/clock.js'
import { getAliveTabs } from './state.js'
import type { DeviceState, Schedule } from './state.js'

/** Longer than the client waits for its storage. */
const MAX_STORAGE_DELAY = 20 * SECOND

/** Lets the next operations of the token storage of a device fail, or take long. */
export function failStorage (
  owner: DeviceState,
  { setup, faults: { clock }, nextPosition }: Schedule,
  random: Random
): void {
  if (setup.mode !== 'keychain') {
    return
  }

  const kind = random.pick(['failed', 'failed after its effect', 'slow'] as const)
  const delay = random.between(SECOND, MAX_STORAGE_DELAY)
  let remaining = random.between(1, 6)

  owner.device.storageFault = async (_operation, proceed) => {
    if (--remaining === 0) {
      owner.device.storageFault = null
    }

    const startedAt = nextPosition()
    // Either session of an interrupted change may be left in the storage.
    recordInterruption(owner, startedAt)

    try {
      if (kind === 'slow') {
        await clock.sleep(delay)
        return await proceed()
      }

      if (kind === 'failed after its effect') {
        await proceed()
      }
    } finally {
      recordInterruption(owner, startedAt)
    }

    throw new Error('the keychain is locked')
  }
}

/** Records whether a login or logout happens during an operation. */
function recordInterruption (owner: DeviceState, startedAt: number): void {
  owner.isAmbiguous ||= owner.loginAt > startedAt || owner.logoutAt > startedAt ||
    getAliveTabs(owner).some(({ logins, logouts }) => logins + logouts > 0)
}
