// Stores that break one rule each. The games must notice every one, or they guard nothing.

import t from 'tap'
import type { RotationAttempt, RotationOutcome } from '../../src/domain/rotation.js'
import { MemoryStore } from '../../src/stores/memory/index.js'
import type {
  RevocationDetails,
  RevocationTarget,
  Session,
  TokenStore,
  Touch
} from '../../src/stores/token-store.js'
import { playHonest } from './honest.js'
import { issuerOptions, startService } from './service.js'
import type { ChangeBody } from './service.js'
import { habits, isNoticedInTime, playThief } from './thief-games.js'
import { playGame } from './world.js'

const MAX_GAMES = 40

class Store extends MemoryStore {
  constructor () {
    super({ clock: Date.now })
  }
}

const honestMutants: Record<string, () => TokenStore> = {
  'a recovery starts no grace period': () =>
    new class extends Store {
      override touch (batch: readonly Touch[]): Promise<void> {
        return super.touch(batch.map(touch => ({ ...touch, graceFrom: null })))
      }
    }(),
  'a rotation does not wait for the end of the grace period': () =>
    new class extends Store {
      override rotate (attempt: RotationAttempt): Promise<RotationOutcome> {
        return super.rotate({ ...attempt, graceBefore: Number.MAX_SAFE_INTEGER })
      }
    }(),
  'a successor counts as used from the start': () =>
    new class extends Store {
      override async rotate (attempt: RotationAttempt): Promise<RotationOutcome> {
        const outcome = await super.rotate(attempt)

        return outcome.session === null
          ? outcome
          : { ...outcome, session: confirm(outcome.session) }
      }
    }(),
  'the loser of a race gets the row from before': () =>
    new class extends Store {
      override async rotate (attempt: RotationAttempt): Promise<RotationOutcome> {
        const before = await this.find(attempt.realm, attempt.sessionId)
        const outcome = await super.rotate(attempt)
        return outcome.swapped || before === null ? outcome : { swapped: false, session: before }
      }
    }(),
  'a rotation does not move the start of the grace period': () =>
    new class extends Store {
      override async rotate (attempt: RotationAttempt): Promise<RotationOutcome> {
        const before = await this.find(attempt.realm, attempt.sessionId)
        const { swapped, session } = await super.rotate(attempt)

        return {
          swapped,
          session: session === null ? null : { ...session, graceFrom: before?.createdAt ?? 0 }
        }
      }
    }()
}

const thiefMutants: Record<string, () => TokenStore> = {
  'uses are not recorded, and neither are replays': () =>
    new class extends Store {
      override touch (batch: readonly Touch[]): Promise<void> {
        return super.touch(
          batch.map(touch => ({ ...touch, confirmedGeneration: 0, replayRun: null }))
        )
      }
    }(),
  'a reuse revokes nothing': () =>
    new class extends Store {
      override revoke (target: RevocationTarget, details: RevocationDetails): Promise<number> {
        return details.reason === 'reuse' ? Promise.resolve(0) : super.revoke(target, details)
      }
    }(),
  'every token fits the row': () =>
    new class extends Store {
      override async rotate (attempt: RotationAttempt): Promise<RotationOutcome> {
        const row = await this.find(attempt.realm, attempt.sessionId)
        const from = row?.generation ?? 0
        return super.rotate({ ...attempt, from, to: from + 1 })
      }
    }()
}

for (const [name, createStore] of Object.entries(honestMutants)) {
  t.test(`honest games notice that ${name}`, async t => {
    t.ok(
      await isCaught(seed =>
        playGame({ seed, instances: 2, store: createStore() }, world => playHonest(world)).then(
          () => true
        )
      )
    )
  })
}

for (const [name, createStore] of Object.entries(thiefMutants)) {
  t.test(`games of thieves notice that ${name}`, async t => {
    t.ok(
      await isCaught(async seed => {
        const { theft } = await playThief(seed, null, { store: createStore() })
        return isNoticedInTime(theft)
      })
    )
  })
}

t.test('games of thieves notice that the issuer ignores the notes of a service', async t => {
  const options = { ...issuerOptions, refreshToken: { replayDetection: false } } as const
  const ignoreNotes: ChangeBody = body => JSON.stringify({ ...JSON.parse(body), notes: [] })

  for (const changeBody of [undefined, ignoreNotes]) {
    const { theft } = await playThief(1, habits['comes second, after the grace period'], {
      options,
      startService: world => startService(world, changeBody)
    })
    t.equal(isNoticedInTime(theft), changeBody === undefined, `${theft.generations} generations`)
  }
})

/** Whether one of several games fails. */
async function isCaught (play: (seed: number) => Promise<boolean>): Promise<boolean> {
  for (let seed = 1; seed <= MAX_GAMES; seed++) {
    try {
      if (!await play(seed)) {
        return true
      }
    } catch {
      return true
    }
  }

  return false
}

function confirm (session: Session): Session {
  return { ...session, confirmedGeneration: session.generation }
}
