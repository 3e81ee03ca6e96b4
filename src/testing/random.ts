// Chance that comes out the same for the same seed: a failure is worth something only if it can be had again.

/** A seeded source of chance. Its functions may be taken off it. */
export interface Random {
  /** From 0 up to 1, without 1: stands in for `Math.random`. */
  next(): number
  chance(probability: number): boolean
  /** A whole number, both ends included. */
  between(from: number, to: number): number
  pick<Choice>(choices: readonly Choice[]): Choice
  /** One of them, by how much each weighs. */
  weigh<Choice>(choices: ReadonlyArray<readonly [choice: Choice, weight: number]>): Choice
  /** Another source, so that what one part draws does not depend on how often the others do. */
  fork(): Random
}

/** By mulberry32. Not for secrets. */
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
    weigh<Choice> (choices: ReadonlyArray<readonly [choice: Choice, weight: number]>): Choice {
      let left = next() * choices.reduce((sum, [, weight]) => sum + weight, 0)
      const found = choices.find(([, weight]) => (left -= weight) < 0) ?? choices.at(-1)

      if (found === undefined) {
        throw new TypeError('there is nothing to choose from')
      }

      return found[0]
    },
    fork: () => createRandom(draw())
  }
}
