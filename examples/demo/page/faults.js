/**
 * One experiment of a tab: the faults that it injects, and what this tab did because of them.
 *
 * Requests of other tabs change nothing here, because each tab has a client of its own.
 *
 * @typedef {object} FaultRun
 * @property {string | null} rejectedToken `Authorization` header of the first call of the run.
 * The server rejects it.
 * @property {boolean} isReplaced Whether a new token has arrived since then, in a response or from
 * another tab. The server accepts it.
 * @property {number} overloads Number of refreshes that still get 503.
 * @property {boolean} losesResponse Whether the response of the next refresh gets lost.
 * @property {number} rejectedCalls
 * @property {number} overloaded Refreshes that got 503.
 * @property {number | null} lostGeneration Generation that the lost response contained.
 * @property {number | null} generation Generation that a refresh of this tab returned.
 */

/** Holds the run of a tab. There is one at a time. */
export class Faults {
  /** @type {FaultRun | null} */
  run = null

  /**
   * Starts a run, which rejects the current access token.
   *
   * @param {{ overloads?: number, losesResponse?: boolean }} faults
   */
  start ({ overloads = 0, losesResponse = false }) {
    /** @type {FaultRun} */
    const run = {
      rejectedToken: null,
      isReplaced: false,
      overloads,
      losesResponse,
      rejectedCalls: 0,
      overloaded: 0,
      lostGeneration: null,
      generation: null
    }
    this.run = run
    return run
  }

  stop () {
    this.run = null
  }
}

/**
 * Describes what happened in a run.
 *
 * @param {FaultRun} run
 * @param {number} calls Number of calls that succeeded.
 * @returns {string}
 */
export function describeRun (run, calls) {
  const { rejectedCalls, overloaded, lostGeneration, generation } = run
  const isUnused = run.losesResponse || (run.overloads > 0 && overloaded === 0)

  return [
    `The server rejected ${rejectedCalls === 1 ? 'the call' : `${rejectedCalls} calls`}.`,
    overloaded > 0 &&
    `It was too busy for ${
      overloaded === 1 ? 'a refresh' : `${overloaded} refreshes`
    } (503), and the client waited as long as the server asked.`,
    lostGeneration !== null && 'It issued a new token, but the response was lost.',
    describeNewToken(lostGeneration, generation),
    isUnused && 'So this tab did not need a refresh that could fail.',
    `The client repeated ${calls === 1 ? 'the call: 200' : `the calls: ${calls} × 200`}.`
  ].filter(Boolean).join(' ')
}

/**
 * @param {number | null} lostGeneration
 * @param {number | null} generation
 */
function describeNewToken (lostGeneration, generation) {
  if (generation === null) {
    return 'Another tab refreshed the token and sent it to this tab.'
  }

  if (lostGeneration === null) {
    return 'The client refreshed the token.'
  }

  return generation === lostGeneration
    ? 'The client refreshed the token again. The server returned the same new token.'
    : 'The client refreshed the token again.'
}
