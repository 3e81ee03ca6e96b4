/** Seeded source of random numbers. All functions work without `this`. */
export interface Random {
  /** Returns a number from 0 up to but excluding 1, like `Math.random`. */
  next(): number
  /** Returns `true` with the given probability. */
  chance(probability: number): boolean
  /** Returns an integer between two bounds, both included. */
  between(from: number, to: number): number
  /** Returns one of the choices. */
  pick<Choice>(choices: readonly Choice[]): Choice
  /**
   * Returns one of the choices with a probability in proportion to its weight.
   *
   * @throws TypeError if there are no choices
   */
  pickWeighted<Choice>(choices: ReadonlyArray<readonly [choice: Choice, weight: number]>): Choice
  /** Creates an independent source, so that its numbers do not depend on draws from this one. */
  fork(): Random
}

/**
 * Creates a source that returns the same numbers for the same seed (mulberry32).
 *
 * The numbers are predictable: never use them for secrets.
 */
export function createRandom (seed: number): Random {
  let state = seed >>> 0

  function draw (): number {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return (mixed ^ (mixed >>> 14)) >>> 0
  }

  const next = (): number => draw() / 2 ** 32
  const between = (from: number, to: number): number => from + Math.floor(next() * (to - from + 1))

  return {
    next,
    chance: probability => next() < probability,
    between,
    pick: <Choice>(choices: readonly Choice[]) => choices[between(0, choices.length - 1)] as Choice,
    pickWeighted<Choice> (
      choices: ReadonlyArray<readonly [choice: Choice, weight: number]>
    ): Choice {
      let remaining = next() * choices.reduce((sum, [, weight]) => sum + weight, 0)
      const found = choices.find(([, weight]) => (remaining -= weight) < 0) ?? choices.at(-1)

      if (found === undefined) {
        throw new TypeError('"choices" must not be empty')
      }

      return found[0]
    },
    fork: () => createRandom(draw())
  }
}
